// Package spread honours topology spread constraints (KEP-895) and, for pods
// without any, spreads the replicas of one controller over nodes and zones.
package spread

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter, Scorer and Normalizer.
type Plugin struct{}

const name = "PodTopologySpread"

func (Plugin) Name() string  { return name }
func (Plugin) Weight() int64 { return 2 }

// constraint is one of the pod's, ready to be asked about nodes.
type constraint struct {
	key     string
	skew    int
	counts  *framework.Counts
	self    int // whether the pod itself matches the selector
	lowest  int // over the eligible domains
	hard    bool
	domains map[string]bool // eligible values of key
}

type state struct {
	hard, soft []*constraint
}

// Default constraints of pods that have none: soft, by node and by zone.
var defaults = [...]struct {
	key  string
	skew int
}{{corev1.LabelHostname, 3}, {corev1.LabelTopologyZone, 5}}

func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	s := &state{}
	for i := range c.Pod.Spec.TopologySpreadConstraints {
		in := &c.Pod.Spec.TopologySpreadConstraints[i]
		k, err := compile(c, in)
		if err != nil {
			return false, framework.Never(err.Error())
		}
		if k.hard {
			k.eligible(c, in)
			s.hard = append(s.hard, k)
		} else {
			s.soft = append(s.soft, k)
		}
	}
	if len(c.Pod.Spec.TopologySpreadConstraints) == 0 && c.Pod.Owner != "" {
		for _, d := range defaults {
			q := framework.CountQuery{Owner: string(c.Pod.Owner), TopologyKey: d.key}
			s.soft = append(s.soft, &constraint{key: d.key, skew: d.skew, counts: c.Cluster.Count(q)})
		}
	}
	c.Put(name, s)
	return len(s.hard)+len(s.soft) > 0, framework.Fit()
}

func compile(c *framework.Cycle, in *corev1.TopologySpreadConstraint) (*constraint, error) {
	sel, err := metav1.LabelSelectorAsSelector(in.LabelSelector)
	if err != nil {
		return nil, fmt.Errorf("invalid topology spread constraint: %w", err)
	}
	sel = framework.WithPodLabels(sel, c.Pod.Labels, in.MatchLabelKeys, nil)
	q := framework.NewQuery([]string{c.Pod.Namespace}, sel, in.TopologyKey)
	k := &constraint{key: in.TopologyKey, skew: int(in.MaxSkew), counts: c.Cluster.Count(q), hard: in.WhenUnsatisfiable == corev1.DoNotSchedule}
	if q.Matches(c.Pod.Pod) {
		k.self = 1
	}
	return k, nil
}

// eligible finds the domains that count and the emptiest of them. Nodes that the
// pod's node affinity (and, if asked for, taints) exclude do not count.
func (k *constraint) eligible(c *framework.Cycle, in *corev1.TopologySpreadConstraint) {
	k.domains = map[string]bool{}
	affinity := in.NodeAffinityPolicy == nil || *in.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor
	taints := in.NodeTaintsPolicy != nil && *in.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
	for _, n := range c.Cluster.Nodes() {
		v, ok := n.Labels[k.key]
		if !ok || k.domains[v] {
			continue
		}
		if affinity {
			if ok, err := c.Pod.Required.Match(n.Node); !ok || err != nil {
				continue
			}
		}
		if taints && !tolerates(c.Pod, n) {
			continue
		}
		k.domains[v] = true
	}
	if in.MinDomains != nil && len(k.domains) < int(*in.MinDomains) {
		return // the global minimum counts as 0
	}
	first := true
	for v := range k.domains {
		if n := k.counts.ByValue[v]; first || n < k.lowest {
			k.lowest, first = n, false
		}
	}
}

func tolerates(p *framework.Pod, n *framework.Node) bool {
	_, bad := corehelpers.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, p.Spec.Tolerations,
		func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }, true)
	return !bad
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	s, ok := c.Get(name).(*state)
	if !ok {
		return framework.Fit()
	}
	for _, k := range s.hard {
		v, ok := n.Labels[k.key]
		if !ok {
			return framework.Never("node(s) didn't match pod topology spread constraints (missing required label)")
		}
		if k.counts.ByValue[v]+k.self-k.lowest > k.skew {
			return framework.Unfit("node(s) didn't match pod topology spread constraints")
		}
	}
	return framework.Fit()
}

// Score counts the matching pods in the node's domains; fewer is better.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	s, ok := c.Get(name).(*state)
	if !ok {
		return 0
	}
	var sum int64
	for _, k := range s.soft {
		if v, ok := n.Labels[k.key]; ok {
			// Few domains weigh more: one pod too many in a zone is worse than on a node.
			sum += int64(k.counts.ByValue[v])*10 + int64(k.skew-1)
		}
	}
	return sum
}

func (Plugin) Normalize(_ *framework.Cycle, scores []int64) {
	framework.Span(scores)
	for i, s := range scores {
		scores[i] = framework.MaxScore - s
	}
}
