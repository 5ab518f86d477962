// Package runtimeclass applies a pod's RuntimeClass: its overhead and where its
// pods may run.
package runtimeclass

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin is RuntimeClass.
type Plugin struct{ r store.Reader }

var (
	_ admission.Mutator   = Plugin{}
	_ admission.Validator = Plugin{}
)

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "RuntimeClass" }

// Handles new pods.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Create && a.Is("", "pods")
}

func (p Plugin) class(ctx context.Context, a *admission.Attributes, pod *corev1.Pod) (*nodev1.RuntimeClass, error) {
	name := pod.Spec.RuntimeClassName
	if name == nil || *name == "" {
		return nil, nil
	}
	rc, found, err := admission.Find[*nodev1.RuntimeClass](ctx, p.r, nodev1.GroupName, "runtimeclasses", store.Key{Name: *name})
	if err == nil && !found {
		err = admission.Forbid(a, "pod rejected: RuntimeClass %q not found", *name)
	}
	return rc, err
}

// Admit sets overhead, node selector and tolerations.
func (p Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	rc, err := p.class(ctx, a, pod)
	if err != nil || rc == nil {
		return err
	}
	if o := rc.Overhead; o != nil {
		if len(pod.Spec.Overhead) > 0 && !equality.Semantic.DeepEqual(pod.Spec.Overhead, o.PodFixed) {
			return admission.Forbid(a, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
		}
		pod.Spec.Overhead = o.PodFixed.DeepCopy()
	}
	if rc.Scheduling == nil {
		return nil
	}
	for k, v := range rc.Scheduling.NodeSelector {
		if have, ok := pod.Spec.NodeSelector[k]; ok && have != v {
			return admission.Forbid(a, "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", k, v, k, have)
		}
		if pod.Spec.NodeSelector == nil {
			pod.Spec.NodeSelector = map[string]string{}
		}
		pod.Spec.NodeSelector[k] = v
	}
	for _, t := range rc.Scheduling.Tolerations {
		if !has(pod.Spec.Tolerations, t) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, t)
		}
	}
	return nil
}

func has(list []corev1.Toleration, t corev1.Toleration) bool {
	for i := range list {
		if equality.Semantic.DeepEqual(list[i], t) {
			return true
		}
	}
	return false
}

// Validate refuses an overhead of one's own.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || len(pod.Spec.Overhead) == 0 {
		return nil
	}
	rc, err := p.class(ctx, a, pod)
	if err != nil {
		return err
	}
	if rc == nil || rc.Overhead == nil {
		return admission.Forbid(a, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	}
	if !equality.Semantic.DeepEqual(rc.Overhead.PodFixed, pod.Spec.Overhead) {
		return admission.Forbid(a, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
	}
	return nil
}
