// Package podaffinity keeps pods near to, or away from, other pods.
package podaffinity

import (
	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter, Scorer and Normalizer.
type Plugin struct{}

const name = "InterPodAffinity"

func (Plugin) Name() string  { return name }
func (Plugin) Weight() int64 { return 2 }

type counted struct {
	key    string
	counts *framework.Counts
	weight int64 // of a preferred term; negative for anti-affinity
	self   bool
}

type state struct {
	want, avoid, prefer []counted
	// refused are topology values from which placed pods' anti-affinity keeps this pod, by key.
	refused map[string]map[string]bool
	// first is set when no pod anywhere matches the required terms but the pod
	// itself does: it may open a domain.
	first bool
}

func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	s := &state{refused: refusedBy(c)}
	p := c.Pod
	count := func(t framework.Term, weight int64) counted {
		return counted{t.Query.TopologyKey, c.Cluster.Count(t.Query), weight, t.Matches(p.Pod)}
	}
	total, self := 0, len(p.Affinity) > 0
	for _, t := range p.Affinity {
		k := count(t, 0)
		s.want = append(s.want, k)
		total += k.counts.Total
		self = self && k.self
	}
	s.first = total == 0 && self
	for _, t := range p.AntiAffinity {
		s.avoid = append(s.avoid, count(t, 0))
	}
	for _, t := range p.PreferredAffinity {
		s.prefer = append(s.prefer, count(t.Term, t.Weight))
	}
	for _, t := range p.PreferredAntiAffinity {
		s.prefer = append(s.prefer, count(t.Term, -t.Weight))
	}
	c.Put(name, s)
	return len(s.want)+len(s.avoid)+len(s.prefer)+len(s.refused) > 0, framework.Fit()
}

// refusedBy finds where the anti-affinity of placed pods forbids this one.
func refusedBy(c *framework.Cycle) map[string]map[string]bool {
	var out map[string]map[string]bool
	for _, other := range c.Cluster.WithAntiAffinity() {
		n := c.Cluster.NodeOf(other)
		if n == nil {
			continue
		}
		for _, t := range other.AntiAffinity {
			v, ok := n.Labels[t.Query.TopologyKey]
			if !ok || !t.Matches(c.Pod.Pod) {
				continue
			}
			if out == nil {
				out = map[string]map[string]bool{}
			}
			if out[t.Query.TopologyKey] == nil {
				out[t.Query.TopologyKey] = map[string]bool{}
			}
			out[t.Query.TopologyKey][v] = true
		}
	}
	return out
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	s, ok := c.Get(name).(*state)
	if !ok {
		return framework.Fit()
	}
	for _, k := range s.want {
		v, ok := n.Labels[k.key]
		if !ok || k.counts.ByValue[v] == 0 && !s.first {
			return framework.Never("node(s) didn't match pod affinity rules")
		}
	}
	for _, k := range s.avoid {
		if v, ok := n.Labels[k.key]; ok && k.counts.ByValue[v] > 0 {
			return framework.Unfit("node(s) didn't match pod anti-affinity rules")
		}
	}
	for key, values := range s.refused {
		if v, ok := n.Labels[key]; ok && values[v] {
			return framework.Unfit("node(s) didn't satisfy existing pods anti-affinity rules")
		}
	}
	return framework.Fit()
}

func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	s, ok := c.Get(name).(*state)
	if !ok {
		return 0
	}
	var sum int64
	for _, k := range s.prefer {
		if v, ok := n.Labels[k.key]; ok {
			sum += k.weight * int64(k.counts.ByValue[v])
		}
	}
	return sum
}

func (Plugin) Normalize(_ *framework.Cycle, scores []int64) { framework.Span(scores) }
