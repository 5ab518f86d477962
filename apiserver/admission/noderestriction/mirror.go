package noderestriction

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/authz"
	"hyperkube/store"
)

// mirror pods are all that a kubelet creates: bound to it, owned by its node, and
// referring to nothing.
func (p Plugin) mirror(ctx context.Context, a *admission.Attributes, node string) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return admission.Forbid(a, "node %q can only create mirror pods", node)
	}
	if _, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; !ok {
		return admission.Forbid(a, "pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return admission.Forbid(a, "node %q can only create pods with spec.nodeName set to itself", node)
	}
	if err := p.owner(ctx, a, pod, node); err != nil {
		return err
	}
	if pod.Spec.ServiceAccountName != "" || pod.Spec.DeprecatedServiceAccount != "" {
		return admission.Forbid(a, "node %q can not create pods that reference a service account", node)
	}
	if what := authz.Refers(pod); what != "" {
		return admission.Forbid(a, "node %q can not create pods that reference %s", node, what)
	}
	return nil
}

// owner is the node itself, as it is now, as the one controller; so that the pod
// goes when the node does and the garbage collector is not led to other objects.
func (p Plugin) owner(ctx context.Context, a *admission.Attributes, pod *corev1.Pod, node string) error {
	switch len(pod.OwnerReferences) {
	case 0:
		return admission.Forbid(a, "node %q can only create pods with an owner reference set to itself", node)
	case 1:
	default:
		return admission.Forbid(a, "node %q can only create pods with a single owner reference set to itself", node)
	}
	switch o := pod.OwnerReferences[0]; {
	case o.APIVersion != "v1" || o.Kind != "Node" || o.Name != node:
		return admission.Forbid(a, "node %q can only create pods with an owner reference set to itself", node)
	case o.Controller == nil || !*o.Controller:
		return admission.Forbid(a, "node %q can only create pods with a controller owner reference set to itself", node)
	case o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion:
		return admission.Forbid(a, "node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	return confirmed(func(f store.Freshness) error {
		n, found, err := admission.FindAt[*corev1.Node](ctx, p.r, "", "nodes", store.Key{Name: node}, f)
		switch {
		case err != nil:
			return err
		case !found:
			return apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, node)
		case n.UID != pod.OwnerReferences[0].UID:
			return admission.Forbid(a, "node %s UID mismatch: expected %s got %s", node, n.UID, pod.OwnerReferences[0].UID)
		}
		return nil
	})
}

// confirmed asks the snapshot at hand, and etcd before a refusal.
func confirmed(judge func(store.Freshness) error) error {
	err := judge(store.Freshness{Any: true})
	if err != nil {
		err = judge(store.Freshness{})
	}
	return err
}
