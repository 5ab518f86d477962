package spread

import (
	corev1 "k8s.io/api/core/v1"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"hyperkube/scheduler/framework"
)

// look fills in the counts of constraints of one sort. When every node counts,
// they are the cluster's own; else they are summed over the nodes that do.
// strict leaves out nodes that lack one of the keys.
func look(c *framework.Cycle, list []*constraint, strict bool) {
	if len(list) == 0 {
		return
	}
	whole := !narrowed(c.Pod, list)
	for _, k := range list {
		whole = whole && (!strict || len(list) == 1 || c.Cluster.Domains(k.key).Total == len(c.Cluster.Nodes()))
	}
	if whole {
		for _, k := range list {
			k.counts = c.Cluster.Count(k.query).ByValue
			k.domains = len(c.Cluster.Domains(k.key).ByValue)
		}
		return
	}
	sum(c, list)
}

// sum counts by way of the nodes, so that pods on nodes that do not count for
// this pod are left out although their domain has others that do.
func sum(c *framework.Cycle, list []*constraint) {
	byNode := make([]map[string]int, len(list))
	for i, k := range list {
		k.counts = map[string]int{}
		byNode[i] = c.Cluster.Count(k.query.By(framework.ByNode)).ByValue
	}
	for _, n := range c.Cluster.Nodes() {
		if !hasAll(n, list) {
			continue
		}
		for i, k := range list {
			if counts(c.Pod, k, n) {
				k.counts[n.Labels[k.key]] += byNode[i][n.Name]
			}
		}
	}
	for _, k := range list {
		k.domains = len(k.counts)
	}
}

func hasAll(n *framework.Node, list []*constraint) bool {
	for _, k := range list {
		if _, ok := n.Labels[k.key]; !ok {
			return false
		}
	}
	return true
}

// counts reports whether a node is among those that a constraint looks at.
func counts(p *framework.Pod, k *constraint, n *framework.Node) bool {
	if honoursAffinity(k) {
		if ok, err := p.Required.Match(n.Node); !ok || err != nil {
			return false
		}
	}
	return !honoursTaints(k) || tolerates(p, n)
}

func honoursAffinity(k *constraint) bool {
	return k.spec != nil && (k.spec.NodeAffinityPolicy == nil || *k.spec.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor)
}

func honoursTaints(k *constraint) bool {
	return k.spec != nil && k.spec.NodeTaintsPolicy != nil && *k.spec.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
}

func tolerates(p *framework.Pod, n *framework.Node) bool {
	_, bad := corehelpers.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, p.Spec.Tolerations,
		func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }, true)
	return !bad
}
