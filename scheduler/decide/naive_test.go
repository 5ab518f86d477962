package decide_test

import (
	corev1 "k8s.io/api/core/v1"
)

// naive says why p cannot go to a node, "" if it can. It knows only what the
// random pods of the property test use, and takes the plainest way to it.
func (c *naiveCluster) naive(p *corev1.Pod, node string) string {
	n := c.node(node)
	tolerates := len(p.Spec.Tolerations) > 0 // everything
	switch {
	case n.Spec.Unschedulable && !tolerates:
		return "cordoned"
	case !c.clean(n) && !tolerates:
		return "tainted"
	case !selects(p, n):
		return "not selected"
	}
	return cmpOr(c.resources(p, n), c.affine(p, n), c.repelled(p, n), c.skewed(p, n))
}

func cmpOr(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func (c *naiveCluster) node(name string) *corev1.Node {
	for _, n := range c.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

func (c *naiveCluster) clean(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoSchedule {
			return false
		}
	}
	return true
}

func selects(p *corev1.Pod, n *corev1.Node) bool {
	for k, v := range p.Spec.NodeSelector {
		if n.Labels[k] != v {
			return false
		}
	}
	return true
}

func (c *naiveCluster) resources(p *corev1.Pod, n *corev1.Node) string {
	cpu, pods := cpuOf(p), int64(1)
	for _, q := range c.pods {
		if q.Spec.NodeName != n.Name {
			continue
		}
		cpu += cpuOf(q)
		pods++
		if len(p.Spec.Containers[0].Ports) > 0 && len(q.Spec.Containers[0].Ports) > 0 {
			return "port taken"
		}
	}
	if cpuOf(p) > 0 && cpu > n.Status.Allocatable.Cpu().Value() {
		return "cpu"
	}
	if pods > n.Status.Allocatable.Pods().Value() {
		return "pods"
	}
	return ""
}

func cpuOf(p *corev1.Pod) int64 { return p.Spec.Containers[0].Resources.Requests.Cpu().Value() }

// together reports whether two nodes are in one domain.
func together(a, b *corev1.Node, key string) bool {
	v, ok := a.Labels[key]
	w, ok2 := b.Labels[key]
	return ok && ok2 && v == w
}

func matches(t corev1.PodAffinityTerm, p *corev1.Pod) bool {
	return p.Labels["app"] == t.LabelSelector.MatchLabels["app"]
}

func (c *naiveCluster) affine(p *corev1.Pod, n *corev1.Node) string {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAffinity == nil {
		return ""
	}
	terms := p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	all := func(q *corev1.Pod) bool {
		for _, t := range terms {
			if !matches(t, q) {
				return false
			}
		}
		return true
	}
	anywhere := false
	met := make([]bool, len(terms))
	for _, q := range c.pods {
		if !all(q) {
			continue
		}
		at := c.node(q.Spec.NodeName)
		for i, t := range terms {
			_, domain := at.Labels[t.TopologyKey]
			anywhere = anywhere || domain
			met[i] = met[i] || together(at, n, t.TopologyKey)
		}
	}
	for i, t := range terms {
		if _, ok := n.Labels[t.TopologyKey]; !ok {
			return "affinity: no domain"
		}
		if !met[i] && (anywhere || !all(p)) {
			return "affinity"
		}
	}
	return ""
}

func (c *naiveCluster) repelled(p *corev1.Pod, n *corev1.Node) string {
	for _, q := range c.pods {
		at := c.node(q.Spec.NodeName)
		for _, t := range anti(p) {
			if matches(t, q) && together(at, n, t.TopologyKey) {
				return "anti-affinity to " + q.Name
			}
		}
		for _, t := range anti(q) {
			if matches(t, p) && together(at, n, t.TopologyKey) {
				return "anti-affinity of " + q.Name
			}
		}
	}
	return ""
}

func anti(p *corev1.Pod) []corev1.PodAffinityTerm {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	return p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

func (c *naiveCluster) skewed(p *corev1.Pod, n *corev1.Node) string {
	list := p.Spec.TopologySpreadConstraints
	for _, k := range list {
		counts := map[string]int{}
		for _, m := range c.nodes {
			if !c.eligible(p, k, list, m) {
				continue
			}
			counts[m.Labels[k.TopologyKey]] += 0
			for _, q := range c.pods {
				if q.Spec.NodeName == m.Name && q.DeletionTimestamp == nil && q.Labels["app"] == k.LabelSelector.MatchLabels["app"] {
					counts[m.Labels[k.TopologyKey]]++
				}
			}
		}
		least := -1
		for _, v := range counts {
			if least < 0 || v < least {
				least = v
			}
		}
		if least < 0 || k.MinDomains != nil && len(counts) < int(*k.MinDomains) {
			least = 0
		}
		value, ok := n.Labels[k.TopologyKey]
		if !ok {
			return "spread: no domain"
		}
		self := 0
		if p.Labels["app"] == k.LabelSelector.MatchLabels["app"] {
			self = 1
		}
		if counts[value]+self-least > int(k.MaxSkew) {
			return "spread"
		}
	}
	return ""
}

func (c *naiveCluster) eligible(p *corev1.Pod, k corev1.TopologySpreadConstraint, list []corev1.TopologySpreadConstraint, n *corev1.Node) bool {
	for _, other := range list {
		if _, ok := n.Labels[other.TopologyKey]; !ok {
			return false
		}
	}
	if !selects(p, n) {
		return false
	}
	return k.NodeTaintsPolicy == nil || len(p.Spec.Tolerations) > 0 || c.clean(n)
}
