// Package priority turns a pod's priorityClassName into the number and the
// preemption policy, and allows one global default class only.
package priority

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin is Priority.
type Plugin struct{ r store.Reader }

var (
	_ admission.Mutator   = Plugin{}
	_ admission.Validator = Plugin{}
)

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "Priority" }

// Handles new pods and written classes.
func (Plugin) Handles(a *admission.Attributes) bool {
	if a.Is(schedulingv1.GroupName, "priorityclasses") {
		return a.Operation == admission.Create || a.Operation == admission.Update
	}
	return a.Operation == admission.Create && a.Is("", "pods")
}

// Admit sets priority and preemptionPolicy.
func (p Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	class, err := p.classOf(ctx, a, pod)
	if err != nil {
		return err
	}
	value, policy := int32(0), corev1.PreemptLowerPriority
	if class != nil {
		value = class.Value
		if class.PreemptionPolicy != nil {
			policy = *class.PreemptionPolicy
		}
	}
	if have := pod.Spec.Priority; have != nil && *have != value {
		return admission.Forbid(a, "the integer value of priority (%d) must not be provided in pod spec; "+
			"priority admission controller computed %d from the given PriorityClass name", *have, value)
	}
	if have := pod.Spec.PreemptionPolicy; have != nil && *have != policy {
		return admission.Forbid(a, "the string value of PreemptionPolicy (%s) must not be provided in pod spec; "+
			"priority admission controller computed %s from the given PriorityClass name", *have, policy)
	}
	pod.Spec.Priority, pod.Spec.PreemptionPolicy = &value, &policy
	return nil
}

// classOf finds the class that is named, or the global default (named in the
// pod then), or nil.
func (p Plugin) classOf(ctx context.Context, a *admission.Attributes, pod *corev1.Pod) (*schedulingv1.PriorityClass, error) {
	if name := pod.Spec.PriorityClassName; name != "" {
		c, found, err := admission.Find[*schedulingv1.PriorityClass](ctx, p.r, schedulingv1.GroupName, "priorityclasses", store.Key{Name: name})
		if err == nil && !found {
			err = admission.Forbid(a, "no PriorityClass with name %v was found", name)
		}
		return c, err
	}
	c, err := p.globalDefault(ctx, "")
	if c != nil {
		pod.Spec.PriorityClassName = c.Name
	}
	return c, err
}

// globalDefault is the class marked so; of several the lowest.
func (p Plugin) globalDefault(ctx context.Context, except string) (*schedulingv1.PriorityClass, error) {
	list, err := admission.All[*schedulingv1.PriorityClass](ctx, p.r, schedulingv1.GroupName, "priorityclasses", "")
	var out *schedulingv1.PriorityClass
	for _, c := range list {
		if c.GlobalDefault && c.Name != except && (out == nil || c.Value < out.Value) {
			out = c
		}
	}
	return out, err
}

// Validate refuses a second global default.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	c, ok := a.Object.(*schedulingv1.PriorityClass)
	if !ok || !c.GlobalDefault {
		return nil
	}
	other, err := p.globalDefault(ctx, c.Name)
	if err != nil || other == nil {
		return err
	}
	return admission.Forbid(a, "PriorityClass %v is already marked as default. Only one default can exist", other.Name)
}
