// Package noderestriction limits what a kubelet may write in the objects that
// concern nodes: its own node, lease, CSINode and slices, mirror pods and the
// status of its own pods, the status of claims, tokens for the service accounts
// of its pods.
//
//	limits: resource ──▶ subresource ──▶ operation ──▶ judge
//
// Contract: limits lists what is allowed. A subresource or an operation that is
// not on it is refused for a kubelet, whatever RBAC grants; a resource that is not
// on it is for the authorizers alone.
package noderestriction

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Plugin is NodeRestriction.
type Plugin struct {
	r    store.Reader
	auth request.Authorizer // for audiences that an administrator grants; may be nil
	own  []string           // audiences of this API server
}

var _ admission.Validator = Plugin{}

// New makes the plugin. own are the audiences of this API server.
func New(r store.Reader, auth request.Authorizer, own []string) Plugin { return Plugin{r, auth, own} }

// Name as flags know it.
func (Plugin) Name() string { return "NodeRestriction" }

// Handles writes of kubelets, also of those whose node cannot be told.
func (Plugin) Handles(a *admission.Attributes) bool {
	return authz.IsNode(a.User) && a.Operation != admission.Connect
}

// judge refuses an operation or lets it through.
type judge func(Plugin, context.Context, *admission.Attributes, string) error

type operations map[admission.Operation]judge

// limits by group and resource, then by subresource.
var limits = map[string]map[string]operations{
	"/pods": {
		"":         {admission.Create: Plugin.mirror, admission.Delete: Plugin.deletePod},
		"status":   {admission.Update: Plugin.podStatus},
		"eviction": {admission.Create: Plugin.eviction},
	},
	"/nodes": {
		"":       {admission.Create: Plugin.createNode, admission.Update: Plugin.updateNode},
		"status": {admission.Update: Plugin.updateNode},
	},
	"/persistentvolumeclaims": {
		"status": {admission.Update: Plugin.claimStatus},
	},
	"/serviceaccounts": {
		"token": {admission.Create: Plugin.token},
	},
	"coordination.k8s.io/leases": {
		"": {admission.Create: Plugin.lease, admission.Update: Plugin.lease, admission.Delete: Plugin.lease},
	},
	"storage.k8s.io/csinodes": {
		"": {admission.Create: Plugin.sameName, admission.Update: Plugin.sameName, admission.Delete: Plugin.sameName},
	},
	"resource.k8s.io/resourceslices": {
		"": {admission.Create: Plugin.slice, admission.Update: Plugin.slice, admission.Delete: Plugin.slice},
	},
}

// Validate finds the judge.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	subs, guarded := limits[a.Info.Group+"/"+a.Info.Resource]
	if !guarded {
		return nil
	}
	node, known := authz.NodeName(a.User)
	if !known {
		return admission.Forbid(a, "could not determine node from user %q", a.User.Name)
	}
	ops, ok := subs[a.Subresource]
	if !ok {
		return unexpected(a, node)
	}
	judge, ok := ops[a.Operation]
	if !ok {
		return admission.Forbid(a, "unexpected operation %q, node %q cannot %s %s", a.Operation, node, a.Info.Verb, a.Info.Resource)
	}
	return judge(p, ctx, a, node)
}

func unexpected(a *admission.Attributes, node string) error {
	switch {
	case a.Info.Resource == "pods":
		return admission.Forbid(a, "unexpected pod subresource %q, only 'status' and 'eviction' are allowed", a.Subresource)
	case a.Subresource == "":
		return admission.Forbid(a, "node %q may not write %s", node, a.Info.Resource)
	}
	return admission.Forbid(a, "unexpected subresource %q, node %q may not write it", a.Subresource, node)
}

func (Plugin) sameName(_ context.Context, a *admission.Attributes, node string) error {
	if a.Name() != node {
		return admission.Forbid(a, "can only access %s with the same name as the requesting node", a.Info.Resource)
	}
	return nil
}

func (p Plugin) lease(ctx context.Context, a *admission.Attributes, node string) error {
	if a.Namespace() != corev1.NamespaceNodeLease {
		return admission.Forbid(a, "can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	return p.sameName(ctx, a, node)
}

func (Plugin) deletePod(_ context.Context, a *admission.Attributes, node string) error {
	if pod, ok := a.Old.(*corev1.Pod); !ok || pod.Spec.NodeName != node {
		return admission.Forbid(a, "node %q can only delete pods with spec.nodeName set to itself", node)
	}
	return nil
}

// podStatus: what leads to rights (labels select pods, claim statuses name objects
// that the Node authorizer then lets the node read) is not the kubelet's.
func (Plugin) podStatus(_ context.Context, a *admission.Attributes, node string) error {
	pod, ok := a.Object.(*corev1.Pod)
	old, ok2 := a.Old.(*corev1.Pod)
	if !ok || !ok2 || old.Spec.NodeName != node {
		return admission.Forbid(a, "node %q can only update pod status for pods with spec.nodeName set to itself", node)
	}
	if !equality.Semantic.DeepEqual(pod.Labels, old.Labels) {
		return admission.Forbid(a, "node %q cannot update labels through pod status", node)
	}
	if !equality.Semantic.DeepEqual(pod.Status.ResourceClaimStatuses, old.Status.ResourceClaimStatuses) {
		return admission.Forbid(a, "node %q cannot update resource claim statuses", node)
	}
	if !equality.Semantic.DeepEqual(pod.Status.ExtendedResourceClaimStatus, old.Status.ExtendedResourceClaimStatus) {
		return admission.Forbid(a, "node %q cannot update extended resource claim status", node)
	}
	return nil
}

func (Plugin) eviction(_ context.Context, a *admission.Attributes, node string) error {
	e, ok := a.Body.(*policyv1.Eviction)
	if !ok || e.Name != "" && e.Name != a.Info.Name {
		return admission.Forbid(a, "eviction does not name pod %q", a.Info.Name)
	}
	if pod, ok := a.Old.(*corev1.Pod); !ok || pod.Spec.NodeName != node {
		return admission.Forbid(a, "node %q can only evict pods with spec.nodeName set to itself", node)
	}
	return nil
}

// claimStatus: of the whole claim only what a resize on the node changes.
func (Plugin) claimStatus(_ context.Context, a *admission.Attributes, node string) error {
	now, ok := a.Object.(*corev1.PersistentVolumeClaim)
	old, ok2 := a.Old.(*corev1.PersistentVolumeClaim)
	if !ok || !ok2 {
		return admission.Forbid(a, "node %q may only update the status of a claim", node)
	}
	now, old = now.DeepCopy(), old.DeepCopy()
	for _, c := range []*corev1.PersistentVolumeClaim{now, old} {
		c.ObjectMeta.ManagedFields, c.ResourceVersion = nil, ""
		c.Status.Capacity, c.Status.Conditions, c.Status.AllocatedResources, c.Status.AllocatedResourceStatuses = nil, nil, nil, nil
	}
	if !equality.Semantic.DeepEqual(now, old) {
		return admission.Forbid(a, "node %q is not allowed to update fields other than status.quantity and status.conditions", node)
	}
	return nil
}

// slice: what is written, and what it is written over, is of this node.
func (Plugin) slice(_ context.Context, a *admission.Attributes, node string) error {
	seen := false
	for _, o := range []store.Object{a.Object, a.Old} {
		if o == nil {
			continue
		}
		seen = true
		if s, ok := o.(*resourcev1.ResourceSlice); !ok || s.Spec.NodeName == nil || *s.Spec.NodeName != node {
			return admission.Forbid(a, "can only access ResourceSlices with the node name set to the requesting node")
		}
	}
	if !seen {
		return admission.Forbid(a, "can only access ResourceSlices with the node name set to the requesting node")
	}
	return nil
}
