// Package claims keeps pods that ask for devices (spec.resourceClaims) back until
// every claim is there, allocated and reserved for the pod, and off nodes from
// which what was allocated cannot be reached.
//
// Nothing here allocates: that is for whoever fills in a claim's status. A pod
// that ran without the device it asked for would be worse than one that waits.
package claims

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter and Woken.
type Plugin struct{}

const name = "DynamicResources"

func (Plugin) Name() string { return name }

// WokenBy: a node never helps a claim that is not allocated, but may reach one that is.
func (Plugin) WokenBy() framework.Event {
	return framework.DeviceChanged | framework.NodeAdded | framework.NodeChanged
}

// state is what the allocated devices demand of the node.
type state struct{ reach []*nodeaffinity.NodeSelector }

func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	s := &state{}
	for i := range c.Pod.Spec.ResourceClaims {
		if v := s.take(c, &c.Pod.Spec.ResourceClaims[i]); !v.OK() {
			return true, v
		}
	}
	c.Put(name, s)
	return len(s.reach) > 0, framework.Fit()
}

// take judges one claim of the pod.
func (s *state) take(c *framework.Cycle, want *corev1.PodResourceClaim) framework.Verdict {
	claim, needed, v := claimOf(c.Pod.Pod, want)
	if !v.OK() || !needed {
		return v
	}
	have := c.Cluster.Storage().Device(c.Pod.Namespace, claim)
	switch {
	case have == nil:
		return framework.Never(fmt.Sprintf("resourceclaim %q not found", claim))
	case have.DeletionTimestamp != nil:
		return framework.Never(fmt.Sprintf("resourceclaim %q is being deleted", claim))
	case have.Status.Allocation == nil:
		return framework.Never(fmt.Sprintf("resourceclaim %q is not allocated, and this scheduler allocates none", claim))
	case !reserved(have, c.Pod.Pod):
		return framework.Never(fmt.Sprintf("resourceclaim %q is not reserved for the pod", claim))
	}
	if have.Status.Allocation.NodeSelector == nil {
		return framework.Fit()
	}
	sel, err := nodeaffinity.NewNodeSelector(have.Status.Allocation.NodeSelector)
	if err != nil {
		return framework.Never(fmt.Sprintf("resourceclaim %q has an invalid node selector: %v", claim, err))
	}
	s.reach = append(s.reach, sel)
	return framework.Fit()
}

// claimOf is the name of the claim behind a pod's entry. One that is made from a template is named
// by the pod's status, once it is made; that may also say that none is needed.
func claimOf(p *corev1.Pod, want *corev1.PodResourceClaim) (claim string, needed bool, v framework.Verdict) {
	if want.ResourceClaimName != nil {
		return *want.ResourceClaimName, true, framework.Fit()
	}
	for i := range p.Status.ResourceClaimStatuses {
		if st := &p.Status.ResourceClaimStatuses[i]; st.Name == want.Name {
			if st.ResourceClaimName == nil {
				return "", false, framework.Fit()
			}
			return *st.ResourceClaimName, true, framework.Fit()
		}
	}
	return "", true, framework.Never(fmt.Sprintf("waiting for the resourceclaim of pod claim %q to be created", want.Name))
}

func reserved(claim *resourcev1.ResourceClaim, p *corev1.Pod) bool {
	return slices.ContainsFunc(claim.Status.ReservedFor, func(r resourcev1.ResourceClaimConsumerReference) bool {
		return r.APIGroup == "" && r.Resource == "pods" && r.Name == p.Name && r.UID == p.UID
	})
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	s, ok := c.Get(name).(*state)
	if !ok {
		return framework.Fit()
	}
	for _, sel := range s.reach {
		if !sel.Match(n.Node) {
			return framework.Never("resourceclaim not available on the node")
		}
	}
	return framework.Fit()
}
