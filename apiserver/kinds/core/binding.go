package core

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	rules "hyperkube/api/core"
	"hyperkube/api/invalid"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// bindings is the older way to bind: POST of a Binding named like the pod.
func bindings() *kind.Kind {
	return kind.New(kind.Spec[*corev1.Binding]{
		Names: names("Binding", "bindings", "binding", true),
		New:   func() *corev1.Binding { return &corev1.Binding{} },
		// The kind has no list of its own; nothing ever lists what is not stored.
		NewList: func() runtime.Object { return &metav1.List{} },
		Virtual: func(ctx context.Context, env kind.Env, b *corev1.Binding, o kind.CreateOptions) (*corev1.Binding, error) {
			_, err := createBinding(ctx, env, store.Key{Namespace: b.Namespace, Name: b.Name}, b, o)
			return b, err
		},
	})
}

// createBinding gives a pod its node. The scheduler does this thousands of times
// a second: nothing but the changed parts of the pod is copied.
func createBinding(ctx context.Context, env kind.Env, key store.Key, body runtime.Object, o kind.CreateOptions) (runtime.Object, error) {
	b, ok := body.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", body))
	}
	if b.Name != "" && b.Name != key.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if errs := rules.ValidateBinding(b); len(errs) > 0 {
		return nil, invalid.New(schema.GroupKind{Kind: "Binding"}, key.Name, errs)
	}
	pods, err := collection(env, "", "pods")
	if err != nil {
		return nil, err
	}
	now := metav1.NewTime(env.Now()).Rfc3339Copy()
	change := func(e *store.Entry) (store.Object, error) {
		p := e.Object.(*corev1.Pod)
		if err := mayBind(p, b, key.Name); err != nil {
			return nil, err
		}
		return bound(p, b, now), nil
	}
	if err := update(ctx, pods, key, o.DryRun, change); err != nil {
		return nil, err
	}
	return success(), nil
}

func mayBind(p *corev1.Pod, b *corev1.Binding, name string) error {
	conflict := func(format string, args ...any) error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, name, fmt.Errorf(format, args...))
	}
	switch {
	case b.UID != "" && b.UID != p.UID:
		return conflict("Precondition failed: UID in precondition: %v, UID in object meta: %v", b.UID, p.UID)
	case b.ResourceVersion != "" && b.ResourceVersion != p.ResourceVersion:
		return conflict("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", b.ResourceVersion, p.ResourceVersion)
	case p.DeletionTimestamp != nil:
		return conflict("pod %s is being deleted, cannot be assigned to a host", p.Name)
	case p.Spec.NodeName != "":
		return conflict("pod %v is already assigned to node %q", p.Name, p.Spec.NodeName)
	case len(p.Spec.SchedulingGates) > 0:
		return conflict("pod %v has non-empty .spec.schedulingGates", p.Name)
	}
	return nil
}

// bound is p on its node. It shares with p all that is the same.
func bound(p *corev1.Pod, b *corev1.Binding, now metav1.Time) *corev1.Pod {
	out := *p
	out.Spec.NodeName = b.Target.Name
	out.Status.NominatedNodeName = ""
	if len(b.Annotations) > 0 {
		out.Annotations = maps.Clone(p.Annotations)
		if out.Annotations == nil {
			out.Annotations = make(map[string]string, len(b.Annotations))
		}
		maps.Copy(out.Annotations, b.Annotations)
	}
	if len(b.Labels) > 0 { // the node's topology; what the pod says itself stays
		out.Labels = maps.Clone(b.Labels)
		maps.Copy(out.Labels, p.Labels)
	}
	out.Status.Conditions = withCondition(p.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now,
	})
	return &out
}

// withCondition is a copy of list in which c is set; a condition whose status
// does not change keeps its time.
func withCondition(list []corev1.PodCondition, c corev1.PodCondition) []corev1.PodCondition {
	out := slices.Grow(slices.Clone(list), 1)
	for i := range out {
		if out[i].Type == c.Type {
			if out[i].Status == c.Status {
				c.LastTransitionTime = out[i].LastTransitionTime
			}
			out[i] = c
			return out
		}
	}
	return append(out, c)
}
