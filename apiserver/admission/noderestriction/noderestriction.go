// Package noderestriction limits what a kubelet may write in the objects that
// the Node authorizer lets it write: its own node, its own pods, its own lease,
// tokens for the service accounts of its pods.
package noderestriction

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	authv1 "k8s.io/api/authentication/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/authz"
	"hyperkube/store"
)

// Plugin is NodeRestriction.
type Plugin struct{ r store.Reader }

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "NodeRestriction" }

// Handles writes of kubelets.
func (Plugin) Handles(a *admission.Attributes) bool {
	_, ok := authz.NodeName(a.User)
	return ok && a.Operation != admission.Connect
}

// Validate dispatches by resource.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	node, _ := authz.NodeName(a.User)
	switch a.Info.Group + "/" + a.Info.Resource + "/" + a.Subresource {
	case "/pods/":
		return p.pod(ctx, a, node)
	case "/pods/status":
		return p.podStatus(a, node)
	case "/pods/eviction":
		return p.eviction(ctx, a, node)
	case "/nodes/", "/nodes/status":
		return p.node(a, node)
	case "/serviceaccounts/token":
		return p.token(ctx, a, node)
	case "/persistentvolumeclaims/status":
		return p.claimStatus(a)
	case "coordination.k8s.io/leases/":
		if a.Namespace() != corev1.NamespaceNodeLease {
			return admission.Forbid(a, "can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
		}
		return sameName(a, node)
	case "storage.k8s.io/csinodes/":
		return sameName(a, node)
	case "resource.k8s.io/resourceslices/":
		return p.slice(a, node)
	}
	return nil
}

func sameName(a *admission.Attributes, node string) error {
	if a.Name() != node {
		return admission.Forbid(a, "can only access %s with the same name as the requesting node", a.Info.Resource)
	}
	return nil
}

func (p Plugin) pod(_ context.Context, a *admission.Attributes, node string) error {
	switch a.Operation {
	case admission.Create:
		pod, ok := a.Object.(*corev1.Pod)
		if !ok {
			return nil
		}
		return mirror(a, pod, node)
	case admission.Delete:
		if pod, ok := a.Old.(*corev1.Pod); ok && pod.Spec.NodeName != node {
			return admission.Forbid(a, "node %q can only delete pods with spec.nodeName set to itself", node)
		}
		return nil
	}
	return admission.Forbid(a, "unexpected operation %q, node %q can only create and delete mirror pods", a.Operation, node)
}

// mirror pods are all that a kubelet creates, and they refer to nothing.
func mirror(a *admission.Attributes, pod *corev1.Pod, node string) error {
	if _, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; !ok {
		return admission.Forbid(a, "pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return admission.Forbid(a, "node %q can only create pods with spec.nodeName set to itself", node)
	}
	if len(pod.OwnerReferences) > 1 {
		return admission.Forbid(a, "node %q can only create pods with a single owner reference set to itself", node)
	}
	for _, o := range pod.OwnerReferences {
		if o.APIVersion != "v1" || o.Kind != "Node" || o.Name != node || o.Controller == nil || !*o.Controller ||
			o.BlockOwnerDeletion != nil && *o.BlockOwnerDeletion {
			return admission.Forbid(a, "node %q can only create pods with an owner reference set to itself", node)
		}
	}
	if pod.Spec.ServiceAccountName != "" {
		return admission.Forbid(a, "node %q can not create pods that reference a service account", node)
	}
	if what := authz.Refers(pod); what != "" {
		return admission.Forbid(a, "node %q can not create pods that reference %s", node, what)
	}
	return nil
}

func (p Plugin) podStatus(a *admission.Attributes, node string) error {
	pod, ok := a.Object.(*corev1.Pod)
	old, ok2 := a.Old.(*corev1.Pod)
	if !ok || !ok2 || a.Operation != admission.Update {
		return admission.Forbid(a, "unexpected operation %q", a.Operation)
	}
	if old.Spec.NodeName != node {
		return admission.Forbid(a, "node %q can only update pod status for pods with spec.nodeName set to itself", node)
	}
	if !equality.Semantic.DeepEqual(pod.Labels, old.Labels) {
		return admission.Forbid(a, "node %q cannot update labels through pod status", node)
	}
	return nil
}

func (p Plugin) eviction(ctx context.Context, a *admission.Attributes, node string) error {
	name := a.Info.Name
	if e, ok := a.Body.(*policyv1.Eviction); ok && e.Name != "" {
		if name != "" && e.Name != name {
			return admission.Forbid(a, "eviction names %q, not %q", e.Name, name)
		}
		name = e.Name
	}
	pod, found, err := admission.Find[*corev1.Pod](ctx, p.r, "", "pods", store.Key{Namespace: a.Namespace(), Name: name})
	if err != nil {
		return err
	}
	if found && pod.Spec.NodeName != node {
		return admission.Forbid(a, "node %q can only evict pods with spec.nodeName set to itself", node)
	}
	return nil
}

func (p Plugin) claimStatus(a *admission.Attributes) error {
	pvc, ok := a.Object.(*corev1.PersistentVolumeClaim)
	old, ok2 := a.Old.(*corev1.PersistentVolumeClaim)
	if !ok || !ok2 {
		return nil
	}
	// Of the status only what a resize on the node changes.
	a1, b1 := pvc.DeepCopy(), old.DeepCopy()
	for _, c := range []*corev1.PersistentVolumeClaim{a1, b1} {
		c.ObjectMeta.ManagedFields, c.ResourceVersion = nil, ""
		c.Status.Capacity, c.Status.Conditions, c.Status.AllocatedResources, c.Status.AllocatedResourceStatuses = nil, nil, nil, nil
	}
	if !equality.Semantic.DeepEqual(a1, b1) {
		return admission.Forbid(a, "node is not allowed to update fields other than status.quantity and status.conditions")
	}
	return nil
}

// token requests must be bound to a pod on the node that uses the account.
func (p Plugin) token(ctx context.Context, a *admission.Attributes, node string) error {
	tr, ok := a.Body.(*authv1.TokenRequest)
	if !ok {
		return nil
	}
	ref := tr.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return admission.Forbid(a, "node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return admission.Forbid(a, "node requested token with a pod binding without a uid")
	}
	pod, found, err := admission.Find[*corev1.Pod](ctx, p.r, "", "pods", store.Key{Namespace: a.Namespace(), Name: ref.Name})
	if err != nil {
		return err
	}
	if !found {
		return admission.Forbid(a, "pod not found")
	}
	if pod.UID != ref.UID {
		return admission.Forbid(a, "the UID in the bound object reference (%s) does not match the UID in record (%s). "+
			"The object might have been deleted and then recreated", ref.UID, pod.UID)
	}
	if pod.Spec.NodeName != node {
		return admission.Forbid(a, "node requested token bound to a pod scheduled on a different node")
	}
	return nil
}

func (p Plugin) slice(a *admission.Attributes, node string) error {
	of := func(o store.Object) bool {
		s, ok := o.(*resourcev1.ResourceSlice)
		return !ok || s.Spec.NodeName != nil && *s.Spec.NodeName == node
	}
	if a.Object != nil && !of(a.Object) || a.Old != nil && !of(a.Old) {
		return admission.Forbid(a, "can only access ResourceSlices with the node name set to the requesting node")
	}
	return nil
}
