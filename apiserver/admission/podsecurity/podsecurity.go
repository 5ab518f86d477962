// Package podsecurity holds pods to the Pod Security Standards that the labels of
// their namespace ask for:
//
//	pod-security.kubernetes.io/enforce: privileged | baseline | restricted   refuses pods
//	pod-security.kubernetes.io/audit:   …                                     notes violations in the audit log
//	pod-security.kubernetes.io/warn:    …                                     warns; enforce's where it is not set
//	…-version:                          latest | v1.x                         of the standards
//
//	pod ──▶ exempt? ──▶ checks of the bar ──▶ refuse, note, warn
//	template ─────────▶                  ──▶ note, warn
//	namespace ──▶ labels valid? ──▶ enforce raised ──▶ warn of pods that are there
//
// Contract: the controls are one list in checks.go and see init, plain and
// ephemeral containers alike. Without labels Config.Defaults hold, privileged
// unless configured. A label that is not valid is the strictest bar.
package podsecurity

import (
	"context"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Keys of audit annotations.
const (
	auditEnforced   = "pod-security.kubernetes.io/enforce-policy"
	auditViolations = "pod-security.kubernetes.io/audit-violations"
	auditExempt     = "pod-security.kubernetes.io/exempt"
)

// Plugin is PodSecurity.
type Plugin struct {
	r store.Reader
	c Config
}

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(r store.Reader, c Config) Plugin { return Plugin{r, c} }

// Name as flags know it.
func (Plugin) Name() string { return "PodSecurity" }

// Handles new pods, changes of pods that matter, written templates and namespaces.
func (Plugin) Handles(a *admission.Attributes) bool {
	if a.Object == nil || a.Operation != admission.Create && a.Operation != admission.Update {
		return false
	}
	if pod, ok := a.Object.(*corev1.Pod); ok {
		switch {
		case a.Operation == admission.Create:
			return a.Subresource == ""
		case a.Subresource == "ephemeralcontainers":
			return true
		case a.Subresource != "":
			return false
		}
		old, ok := a.Old.(*corev1.Pod)
		return !ok || significant(pod, old)
	}
	_, _, ok := template(a.Object)
	return a.Subresource == "" && (ok || a.Is("", "namespaces"))
}

// significant changes of a pod are those of images and of what checks read; the
// rest of it cannot change, or does not matter, so that old pods of a namespace
// that was made stricter can still be labelled.
func significant(now, old *corev1.Pod) bool {
	images := func(s *corev1.PodSpec) (out []string) {
		for _, c := range s.InitContainers {
			out = append(out, c.Image)
		}
		for _, c := range s.Containers {
			out = append(out, c.Image)
		}
		for _, c := range s.EphemeralContainers {
			out = append(out, c.Image)
		}
		return out
	}
	appArmor := func(p *corev1.Pod) map[string]string {
		out := map[string]string{}
		for k, v := range p.Annotations {
			if strings.HasPrefix(k, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
				out[k] = v
			}
		}
		return out
	}
	return !slices.Equal(images(&now.Spec), images(&old.Spec)) || !equality.Semantic.DeepEqual(appArmor(now), appArmor(old))
}

// template is the pod that a workload will make.
func template(o store.Object) (*metav1.ObjectMeta, *corev1.PodSpec, bool) {
	var t *corev1.PodTemplateSpec
	switch o := o.(type) {
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

// Validate runs the checks of the namespace's bars.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	if ns, ok := a.Object.(*corev1.Namespace); ok {
		return p.namespace(ctx, a, ns)
	}
	pod, isPod := a.Object.(*corev1.Pod)
	meta, spec, _ := template(a.Object)
	if isPod {
		meta, spec = &pod.ObjectMeta, &pod.Spec
	}
	if why := p.c.exempt(a.User.Name, a.Namespace(), spec); why != "" {
		request.Annotate(ctx, auditExempt, why)
		return nil
	}
	ns, found, err := admission.Find[*corev1.Namespace](ctx, p.r, "", "namespaces", store.Key{Name: a.Namespace()})
	if err != nil {
		return err
	}
	if !found {
		return admission.Forbid(a, "failed to lookup namespace %q", a.Namespace())
	}
	policy, _ := policyOf(ns.Labels, p.c.Defaults)
	if isPod {
		request.Annotate(ctx, auditEnforced, policy.Enforce.String())
		if bad := Violations(policy.Enforce, meta, spec); len(bad) > 0 {
			return admission.Forbid(a, "violates PodSecurity %q: %s", policy.Enforce, told(bad))
		}
	}
	if bad := Violations(policy.Audit, meta, spec); len(bad) > 0 {
		request.Annotate(ctx, auditViolations, would(policy.Audit, bad))
	}
	if bad := Violations(policy.Warn, meta, spec); len(bad) > 0 {
		request.Warn(ctx, would(policy.Warn, bad))
	}
	return nil
}

func would(b Bar, bad []Violation) string {
	return "would violate PodSecurity \"" + b.String() + "\": " + told(bad)
}
