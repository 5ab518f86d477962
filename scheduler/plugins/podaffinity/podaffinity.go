// Package podaffinity keeps pods near to, or away from, other pods.
//
// It never looks at placed pods one by one: how many match a term in each domain
// is counted by the cluster as pods come and go, and the terms that placed pods
// themselves hold are kept there too, equal ones once.
package podaffinity

import (
	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter, Scorer, Normalizer and Woken.
type Plugin struct{}

const name = "InterPodAffinity"

func (Plugin) Name() string  { return name }
func (Plugin) Weight() int64 { return 2 }

func (Plugin) WokenBy() framework.Event {
	return framework.NodeAdded | framework.NodeChanged | framework.PodGone | framework.PodPlaced
}

// domains is a number for each value of a topology key.
type domains struct {
	key    string
	values map[string]int
	weight int64 // of a wish; negative to keep away
}

type state struct {
	want, avoid, prefer []domains
	refused             []domains // where placed pods keep this one away
	// first is set when no pod anywhere matches the required terms but the pod
	// itself does: it may open a domain.
	first bool
}

func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	s := &state{}
	p := c.Pod
	s.wants(c)
	count := func(t framework.Term, weight int64) domains {
		return domains{t.Query.TopologyKey, c.Cluster.Count(t.Query).ByValue, weight}
	}
	for _, t := range p.AntiAffinity {
		s.avoid = append(s.avoid, count(t, 0))
	}
	for _, t := range p.PreferredAffinity {
		s.prefer = append(s.prefer, count(t.Term, t.Weight))
	}
	for _, t := range p.PreferredAntiAffinity {
		s.prefer = append(s.prefer, count(t.Term, -t.Weight))
	}
	for _, h := range c.Cluster.Held() {
		if !h.Matches(p.Pod) {
			continue
		}
		d := domains{h.Query.TopologyKey, h.ByValue, h.Weight}
		if h.Refuses {
			s.refused = append(s.refused, d)
		} else {
			s.prefer = append(s.prefer, d)
		}
	}
	c.Put(name, s)
	return len(s.want)+len(s.avoid)+len(s.prefer)+len(s.refused) > 0, framework.Fit()
}

// wants counts the pods that match all required terms together, in the domains of
// each topology key that a term names: one question for each key, not for each term.
func (s *state) wants(c *framework.Cycle) {
	together := c.Pod.Together
	total, self := 0, len(together) > 0
	for _, q := range together {
		counts := c.Cluster.Count(q)
		s.want = append(s.want, domains{q.TopologyKey, counts.ByValue, 0})
		total += counts.Total
		self = self && q.Matches(c.Pod.Pod)
	}
	s.first = total == 0 && self
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	s, ok := c.Get(name).(*state)
	if !ok {
		return framework.Fit()
	}
	for _, d := range s.want {
		v, ok := n.Labels[d.key]
		if !ok || d.values[v] == 0 && !s.first {
			return framework.Never("node(s) didn't match pod affinity rules")
		}
	}
	for _, d := range s.avoid {
		if v, ok := n.Labels[d.key]; ok && d.values[v] > 0 {
			return framework.Unfit("node(s) didn't match pod anti-affinity rules")
		}
	}
	for _, d := range s.refused {
		if v, ok := n.Labels[d.key]; ok && d.values[v] > 0 {
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
	for _, d := range s.prefer {
		if v, ok := n.Labels[d.key]; ok {
			sum += d.weight * int64(d.values[v])
		}
	}
	return sum
}

func (Plugin) Normalize(_ *framework.Cycle, scores []int64) { framework.Span(scores) }
