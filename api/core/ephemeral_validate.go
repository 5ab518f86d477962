package core

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ephemeral judges debug containers: they join a running pod, so they have no
// ports, probes, hooks or resources of their own.
func (pc *podContext) ephemeral(path *field.Path) (errs field.ErrorList) {
	for i := range pc.spec.EphemeralContainers {
		e, p := &pc.spec.EphemeralContainers[i], path.Index(i)
		c := corev1.Container(e.EphemeralContainerCommon)
		errs = append(errs, pc.container(&c, p)...)
		if e.TargetContainerName != "" && !pc.runs(e.TargetContainerName) {
			errs = append(errs, field.NotFound(p.Child("targetContainerName"), e.TargetContainerName))
		}
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"ports", len(c.Ports) > 0}, {"livenessProbe", c.LivenessProbe != nil}, {"readinessProbe", c.ReadinessProbe != nil},
			{"startupProbe", c.StartupProbe != nil}, {"lifecycle", c.Lifecycle != nil},
			{"resources", !reflect.ValueOf(c.Resources).IsZero()}, {"resizePolicy", len(c.ResizePolicy) > 0},
			{"restartPolicy", c.RestartPolicy != nil}, {"restartPolicyRules", len(c.RestartPolicyRules) > 0},
		} {
			if f.set {
				errs = append(errs, field.Forbidden(p.Child(f.name), "cannot be set for an Ephemeral Container"))
			}
		}
		for j, m := range e.VolumeMounts {
			if m.SubPath != "" {
				errs = append(errs, field.Forbidden(p.Child("volumeMounts").Index(j).Child("subPath"), "cannot be set for an Ephemeral Container"))
			}
			if m.SubPathExpr != "" {
				errs = append(errs, field.Forbidden(p.Child("volumeMounts").Index(j).Child("subPathExpr"), "cannot be set for an Ephemeral Container"))
			}
		}
	}
	return errs
}

func (pc *podContext) runs(name string) bool {
	for i := range pc.spec.Containers {
		if pc.spec.Containers[i].Name == name {
			return true
		}
	}
	for i := range pc.spec.InitContainers {
		if pc.spec.InitContainers[i].Name == name {
			return true
		}
	}
	return false
}

// ValidatePodEphemeralUpdate judges an update of <pod>/ephemeralcontainers:
// containers may be added, never changed or taken away.
func ValidatePodEphemeralUpdate(p, old *corev1.Pod) field.ErrorList {
	spec := field.NewPath("spec")
	at := spec.Child("ephemeralContainers")
	errs := newPodContext(&p.Spec).ephemeralAmong(&p.Spec, at)
	now := make(map[string]*corev1.EphemeralContainer, len(p.Spec.EphemeralContainers))
	for i := range p.Spec.EphemeralContainers {
		now[p.Spec.EphemeralContainers[i].Name] = &p.Spec.EphemeralContainers[i]
	}
	for i := range old.Spec.EphemeralContainers {
		was := &old.Spec.EphemeralContainers[i]
		is, ok := now[was.Name]
		if !ok {
			errs = append(errs, field.Forbidden(at, "existing ephemeral containers \""+was.Name+"\" may not be removed\n"))
		} else if !equality.Semantic.DeepEqual(is, was) {
			errs = append(errs, field.Forbidden(at, "existing ephemeral containers \""+was.Name+"\" may not be changed\n"))
		}
	}
	return errs
}

// ephemeralAmong checks only the ephemeral containers, names of the others known.
func (pc *podContext) ephemeralAmong(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	for i := range s.Containers {
		pc.names[s.Containers[i].Name] = true
	}
	for i := range s.InitContainers {
		pc.names[s.InitContainers[i].Name] = true
	}
	return pc.ephemeral(at)
}
