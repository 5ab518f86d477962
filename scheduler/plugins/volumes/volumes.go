// Package volumes keeps pods back until the claims they name can be used, and
// off nodes from which a bound volume cannot be reached.
//
// A claim of a class that waits for its first pod is refused while it is
// unbound: nothing here provisions volumes yet.
package volumes

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter and Woken.
type Plugin struct{}

const name = "VolumeBinding"

func (Plugin) Name() string { return name }

func (Plugin) WokenBy() framework.Event {
	return framework.StorageChanged | framework.NodeAdded | framework.NodeChanged | framework.PodGone
}

// state is what the pod's bound volumes demand of its node.
type state struct {
	affinity []*nodeaffinity.NodeSelector
	zones    []zone
	waiting  bool     // an unbound claim waits for its first pod
	single   []string // claims that one pod at a time may use
}

// zone is a label that a volume shares with the nodes that reach it.
type zone struct {
	key    string
	values []string
}

func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	s := &state{}
	var unbound bool
	for i := range c.Pod.Spec.Volumes {
		claim := claimOf(c.Pod.Pod, &c.Pod.Spec.Volumes[i])
		if claim == "" {
			continue
		}
		pvc := c.Cluster.Storage().Claim(c.Pod.Namespace, claim)
		switch {
		case pvc == nil:
			return true, framework.Never(fmt.Sprintf("persistentvolumeclaim %q not found", claim))
		case pvc.DeletionTimestamp != nil:
			return true, framework.Never(fmt.Sprintf("persistentvolumeclaim %q is being deleted", claim))
		case pvc.Status.Phase == corev1.ClaimLost:
			return true, framework.Never(fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", claim, pvc.Spec.VolumeName))
		}
		if slices.Contains(pvc.Spec.AccessModes, corev1.ReadWriteOncePod) {
			s.single = append(s.single, claim)
		}
		if pvc.Spec.VolumeName == "" || pvc.Status.Phase != corev1.ClaimBound {
			delayed := pvc.Spec.StorageClassName != nil && c.Cluster.Storage().Delayed(*pvc.Spec.StorageClassName)
			s.waiting, unbound = s.waiting || delayed, unbound || !delayed
			continue
		}
		if v := s.bound(c, claim, pvc.Spec.VolumeName); !v.OK() {
			return true, v
		}
	}
	if unbound {
		return true, framework.Never("pod has unbound immediate PersistentVolumeClaims")
	}
	c.Put(name, s)
	return s.waiting || len(s.affinity)+len(s.zones)+len(s.single) > 0, framework.Fit()
}

// claimOf is the name of the claim behind a volume, "" when there is none. An
// ephemeral volume's claim is made for the pod and named after both.
func claimOf(p *corev1.Pod, v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return p.Name + "-" + v.Name
	}
	return ""
}

func (s *state) bound(c *framework.Cycle, claim, volume string) framework.Verdict {
	pv := c.Cluster.Storage().Volume(volume)
	if pv == nil {
		return framework.Never(fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", claim, volume))
	}
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion} {
		if v, ok := pv.Labels[key]; ok {
			s.zones = append(s.zones, zone{key, strings.Split(v, "__")})
		}
	}
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return framework.Fit()
	}
	sel, err := nodeaffinity.NewNodeSelector(pv.Spec.NodeAffinity.Required)
	if err != nil {
		return framework.Never(fmt.Sprintf("persistentvolume %q has an invalid node affinity: %v", volume, err))
	}
	s.affinity = append(s.affinity, sel)
	return framework.Fit()
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	s, ok := c.Get(name).(*state)
	if !ok {
		return framework.Fit()
	}
	for _, sel := range s.affinity {
		if !sel.Match(n.Node) {
			return framework.Never("node(s) didn't match PersistentVolume's node affinity")
		}
	}
	for _, z := range s.zones {
		if !slices.Contains(z.values, n.Labels[z.key]) {
			return framework.Never("node(s) had no available volume zone")
		}
	}
	if s.waiting {
		return framework.Never("node(s) didn't find available persistent volumes to bind")
	}
	for _, p := range n.Pods {
		if len(s.single) > 0 && p.Namespace == c.Pod.Namespace && uses(p.Pod, s.single) {
			return framework.Unfit("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode")
		}
	}
	return framework.Fit()
}

func uses(p *corev1.Pod, claims []string) bool {
	for i := range p.Spec.Volumes {
		if claim := claimOf(p, &p.Spec.Volumes[i]); claim != "" && slices.Contains(claims, claim) {
			return true
		}
	}
	return false
}
