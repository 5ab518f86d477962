// Package spread honours topology spread constraints (KEP-895) and, for pods
// without any, spreads the replicas of one controller over nodes and zones.
//
//	constraint ─▶ view: pods by domain, over the nodes that count for this pod
//	              hard: count here + the pod itself − the emptiest domain ≤ maxSkew
//	              soft: fewer is better
package spread

import (
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter, Scorer, Normalizer and Woken.
type Plugin struct{}

const name = "PodTopologySpread"

func (Plugin) Name() string  { return name }
func (Plugin) Weight() int64 { return 2 }

func (Plugin) WokenBy() framework.Event {
	return framework.NodeAdded | framework.NodeChanged | framework.PodGone | framework.PodPlaced
}

// constraint is one of the pod's, ready to be asked about nodes.
type constraint struct {
	key   string
	skew  int
	query framework.CountQuery
	self  int // 1 when the pod itself is counted
	spec  *corev1.TopologySpreadConstraint
	// counts are pods by domain; those of the domains that it lacks are 0.
	counts  map[string]int
	domains int
	lowest  int     // over the domains; of hard constraints
	weight  float64 // of one pod more; of soft constraints
}

type state struct {
	hard, soft []*constraint
	strict     bool // nodes that lack a soft constraint's label score nothing
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
			return true, framework.Never(err.Error())
		}
		if in.WhenUnsatisfiable == corev1.DoNotSchedule {
			s.hard = append(s.hard, k)
		} else {
			s.soft = append(s.soft, k)
		}
	}
	s.strict = len(s.soft) > 0
	if len(c.Pod.Spec.TopologySpreadConstraints) == 0 && c.Pod.Owner != "" {
		for _, d := range defaults {
			s.soft = append(s.soft, &constraint{key: d.key, skew: d.skew, query: framework.OwnerQuery(string(c.Pod.Owner), c.Pod.Namespace, d.key)})
		}
	}
	look(c, s.hard, true)
	for _, k := range s.hard {
		k.lowest = lowest(k)
	}
	look(c, s.soft, s.strict)
	for _, k := range s.soft {
		k.weight = math.Log(float64(k.domains + 2))
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
	k := &constraint{key: in.TopologyKey, skew: int(in.MaxSkew), spec: in}
	k.query = framework.NewQuery([]string{c.Pod.Namespace}, sel, in.TopologyKey).Alive()
	if k.query.Matches(c.Pod.Pod) {
		k.self = 1
	}
	return k, nil
}

func lowest(k *constraint) int {
	if len(k.counts) < k.domains || k.spec.MinDomains != nil && k.domains < int(*k.spec.MinDomains) {
		return 0
	}
	least, first := 0, true
	for _, n := range k.counts {
		if first || n < least {
			least, first = n, false
		}
	}
	return least
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
		if k.counts[v]+k.self-k.lowest > k.skew {
			return framework.Unfit("node(s) didn't match pod topology spread constraints")
		}
	}
	return framework.Fit()
}

const ignored = -1 // the raw score of nodes outside the constraints

// Score counts the matching pods in the node's domains; fewer is better, and a
// pod more weighs more where there are many domains.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	s, ok := c.Get(name).(*state)
	if !ok {
		return 0
	}
	var sum float64
	for _, k := range s.soft {
		v, ok := n.Labels[k.key]
		switch {
		case ok:
			sum += float64(k.counts[v])*k.weight + float64(k.skew-1)
		case s.strict:
			return ignored
		}
	}
	return int64(math.Round(sum))
}

func (Plugin) Normalize(_ *framework.Cycle, scores []int64) {
	low, high := int64(math.MaxInt64), int64(0)
	for _, s := range scores {
		if s != ignored {
			low, high = min(low, s), max(high, s)
		}
	}
	for i, s := range scores {
		switch {
		case s == ignored:
			scores[i] = 0
		case high == 0:
			scores[i] = framework.MaxScore
		default:
			scores[i] = framework.MaxScore * (high + low - s) / high
		}
	}
}

// narrowed reports whether some nodes do not count for the pod: those that its
// node selector and required affinity exclude, unless told otherwise, and, if
// told so, those whose taints it does not tolerate.
func narrowed(p *framework.Pod, list []*constraint) bool {
	if len(p.Spec.NodeSelector) > 0 || p.Spec.Affinity != nil && p.Spec.Affinity.NodeAffinity != nil && p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		return slices.ContainsFunc(list, honoursAffinity) || slices.ContainsFunc(list, honoursTaints)
	}
	return slices.ContainsFunc(list, honoursTaints)
}
