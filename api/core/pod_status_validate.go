package core

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePodStatusUpdate judges what a kubelet or controller reports.
func ValidatePodStatusUpdate(p, old *corev1.Pod) (errs field.ErrorList) {
	errs = validateMirrorKept(p, old)
	path := field.NewPath("status")
	errs = validateMirrorKept(p, old)
	if n := p.Status.NominatedNodeName; n != "" && n != old.Status.NominatedNodeName {
		errs = checkSubdomain(errs, n, path.Child("nominatedNodeName"))
	}
	errs = immutable(errs, p.Status.QOSClass == old.Status.QOSClass || old.Status.QOSClass == "", p.Status.QOSClass, path.Child("qosClass"))
	errs = append(errs, validateStatusIPs(p, path)...)
	if old.Spec.RestartPolicy == corev1.RestartPolicyAlways || restartsAll(old.Spec.InitContainers) || restartsAll(old.Spec.Containers) {
		return errs
	}
	errs = append(errs, validateEnded(p.Status.ContainerStatuses, old.Status.ContainerStatuses, old.Spec.Containers, old.Spec.RestartPolicy, path.Child("containerStatuses"))...)
	return append(errs, validateEnded(p.Status.InitContainerStatuses, old.Status.InitContainerStatuses, old.Spec.InitContainers, old.Spec.RestartPolicy, path.Child("initContainerStatuses"))...)
}

func validateStatusIPs(p *corev1.Pod, path *field.Path) (errs field.ErrorList) {
	seen := make(map[string]bool, len(p.Status.PodIPs))
	for i, ip := range p.Status.PodIPs {
		at := path.Child("podIPs").Index(i)
		errs = append(errs, validation.IsValidIPForLegacyField(at, ip.IP, false, nil)...)
		if seen[ip.IP] {
			errs = append(errs, field.Duplicate(at, ip))
		}
		seen[ip.IP] = true
	}
	for i, ip := range p.Status.HostIPs {
		errs = append(errs, validation.IsValidIPForLegacyField(path.Child("hostIPs").Index(i), ip.IP, false, nil)...)
	}
	errs = append(errs, oneOfEachFamily(p.Status.PodIPs, func(ip corev1.PodIP) string { return ip.IP }, path.Child("podIPs"))...)
	errs = append(errs, oneOfEachFamily(p.Status.HostIPs, func(ip corev1.HostIP) string { return ip.IP }, path.Child("hostIPs"))...)
	if len(p.Status.HostIPs) > 0 && p.Status.HostIP != p.Status.HostIPs[0].IP {
		errs = append(errs, field.Invalid(path.Child("hostIPs").Index(0).Child("ip"), p.Status.HostIPs[0].IP, "must be equal to `hostIP`"))
	}
	return errs
}

// oneOfEachFamily: a pod has at most one IPv4 and one IPv6 address, of its own and of its host.
func oneOfEachFamily[T any](list []T, text func(T) string, path *field.Path) field.ErrorList {
	four, six := 0, 0
	for _, x := range list {
		if ip, err := netip.ParseAddr(text(x)); err != nil {
			continue
		} else if ip.Unmap().Is4() {
			four++
		} else {
			six++
		}
	}
	if four > 1 || six > 1 {
		return field.ErrorList{field.Invalid(path, list, "may specify no more than one IP for each IP family")}
	}
	return nil
}

// validateEnded: where nothing is restarted, what has ended stays ended.
func validateEnded(is, was []corev1.ContainerStatus, specs []corev1.Container, policy corev1.RestartPolicy, path *field.Path) (errs field.ErrorList) {
	for _, o := range was {
		t := o.State.Terminated
		if t == nil || t.ExitCode != 0 && policy == corev1.RestartPolicyOnFailure || restartsItself(specs, o.Name) {
			continue
		}
		for i := range is {
			if is[i].Name == o.Name && is[i].State.Terminated == nil {
				errs = append(errs, field.Forbidden(path.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
			}
		}
	}
	return errs
}

func restartsItself(specs []corev1.Container, name string) bool {
	for i := range specs {
		if specs[i].Name == name {
			return specs[i].RestartPolicy != nil
		}
	}
	return false
}

// restartsAll tells whether an exit of one of the containers may restart all of the pod's.
func restartsAll(specs []corev1.Container) bool {
	for i := range specs {
		for _, r := range specs[i].RestartPolicyRules {
			if r.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
				return true
			}
		}
	}
	return false
}

// ValidatePodResize judges an update of <pod>/resize: CPU and memory of running
// containers, never the QoS class.
func ValidatePodResize(p, old *corev1.Pod) field.ErrorList {
	spec := field.NewPath("spec")
	errs := ValidatePodSpec(&p.Spec, spec)
	if len(errs) > 0 {
		return errs
	}
	if p.Spec.OS != nil && p.Spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "windows pods cannot be resized")}
	}
	if QOSClass(&p.Spec) != old.Status.QOSClass && old.Status.QOSClass != "" {
		errs = append(errs, field.Invalid(spec, old.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	errs = append(errs, validateResized(p.Spec.Containers, old.Spec.Containers, spec.Child("containers"))...)
	return append(errs, validateResized(p.Spec.InitContainers, old.Spec.InitContainers, spec.Child("initContainers"))...)
}

func validateResized(is, was []corev1.Container, path *field.Path) (errs field.ErrorList) {
	for i := range is {
		if i >= len(was) {
			break
		}
		a, b := &is[i].Resources, &was[i].Resources
		at := path.Index(i).Child("resources")
		if !equality.Semantic.DeepEqual(others(a.Requests), others(b.Requests)) || !equality.Semantic.DeepEqual(others(a.Limits), others(b.Limits)) {
			errs = append(errs, field.Forbidden(at, "only cpu and memory resources are mutable"))
		}
		for name := range b.Requests {
			if _, ok := a.Requests[name]; !ok {
				errs = append(errs, field.Forbidden(at.Child("requests"), "resource requests cannot be removed"))
			}
		}
		for name := range b.Limits {
			if _, ok := a.Limits[name]; !ok {
				errs = append(errs, field.Forbidden(at.Child("limits"), "resource limits cannot be removed"))
			}
		}
	}
	return errs
}

// others are the amounts that a resize may not touch.
func others(l corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range l {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			out[name] = q
		}
	}
	return out
}
