// Package podsecurity holds pods to the Pod Security Standards that the labels of
// their namespace ask for:
//
//	pod-security.kubernetes.io/enforce: privileged | baseline | restricted   refuses pods
//	pod-security.kubernetes.io/warn:    …                                     warns, also about templates
//
// The checks are one list in checks.go. A namespace without labels is privileged.
package podsecurity

import (
	"context"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Labels of namespaces.
const (
	labelEnforce = "pod-security.kubernetes.io/enforce"
	labelWarn    = "pod-security.kubernetes.io/warn"
)

// Plugin is PodSecurity.
type Plugin struct{ r store.Reader }

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "PodSecurity" }

// Handles new pods, containers added to them, and written templates.
func (Plugin) Handles(a *admission.Attributes) bool {
	if a.Object == nil || a.Operation != admission.Create && a.Operation != admission.Update {
		return false
	}
	if a.Info.Group == "" && a.Info.Resource == "pods" {
		return a.Subresource == "" && a.Operation == admission.Create || a.Subresource == "ephemeralcontainers"
	}
	_, _, ok := template(a.Object)
	return ok && a.Subresource == ""
}

// template is the pod that a workload will make.
func template(o store.Object) (*metav1.ObjectMeta, *corev1.PodSpec, bool) {
	var t *corev1.PodTemplateSpec
	switch o := o.(type) {
	case *corev1.Pod:
		return &o.ObjectMeta, &o.Spec, true
	case *appsv1.Deployment:
		t = &o.Spec.Template
	case *appsv1.ReplicaSet:
		t = &o.Spec.Template
	case *appsv1.StatefulSet:
		t = &o.Spec.Template
	case *appsv1.DaemonSet:
		t = &o.Spec.Template
	case *batchv1.Job:
		t = &o.Spec.Template
	case *batchv1.CronJob:
		t = &o.Spec.JobTemplate.Spec.Template
	case *corev1.ReplicationController:
		t = o.Spec.Template
	case *corev1.PodTemplate:
		t = &o.Template
	}
	if t == nil {
		return nil, nil, false
	}
	return &t.ObjectMeta, &t.Spec, true
}

// Validate runs the checks of the namespace's levels.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	ns, found, err := admission.Find[*corev1.Namespace](ctx, p.r, "", "namespaces", store.Key{Name: a.Namespace()})
	if err != nil || !found {
		return err
	}
	enforce, warn := level(ns.Labels[labelEnforce]), level(ns.Labels[labelWarn])
	meta, spec, ok := template(a.Object)
	if !ok || enforce == privileged && warn == privileged {
		return nil
	}
	if _, isPod := a.Object.(*corev1.Pod); isPod && enforce > privileged {
		if bad := Violations(enforce, meta, spec); len(bad) > 0 {
			return admission.Forbid(a, "violates PodSecurity %q: %s", policy(ns, labelEnforce), strings.Join(bad, ", "))
		}
	}
	if bad := Violations(warn, meta, spec); len(bad) > 0 {
		request.Warn(ctx, "would violate PodSecurity \""+policy(ns, labelWarn)+"\": "+strings.Join(bad, ", "))
	}
	return nil
}

// policy as messages name it: "restricted:latest".
func policy(ns *corev1.Namespace, label string) string {
	version := ns.Labels[label+"-version"]
	if version == "" {
		version = "latest"
	}
	return ns.Labels[label] + ":" + version
}

// Level of the standards; each contains the ones before.
type Level int

// The three levels.
const (
	privileged Level = iota
	Baseline
	Restricted
)

// level of a label; what is not known is held to the strictest.
func level(label string) Level {
	switch label {
	case "", "privileged":
		return privileged
	case "baseline":
		return Baseline
	}
	return Restricted
}
