package snapshot

import (
	"hyperkube/scheduler/framework"
)

// maxCounters bounds the memory of counters; those not asked lately go first.
const maxCounters = 4096

// counters keep, for every question asked lately, how many placed pods answer
// it in each topology domain. They are sorted by whom they may concern, so that
// placing a pod does not walk those about other controllers' or namespaces' pods.
type counters struct {
	byKey       map[string]*counter
	byOwner     map[string][]*counter
	byNamespace map[string][]*counter
	others      []*counter
	clock       int64
}

type counter struct {
	query  framework.CountQuery
	counts framework.Counts
	used   int64
}

func newCounters() counters {
	return counters{byKey: map[string]*counter{}, byOwner: map[string][]*counter{}, byNamespace: map[string][]*counter{}}
}

// get returns the counts for q. A new one is made from the pods of its
// namespaces; namespaces holds the pods that are on nodes.
func (c *counters) get(q framework.CountQuery, namespaces map[string]podSet) *framework.Counts {
	c.clock++
	if have, ok := c.byKey[q.Key]; ok {
		have.used = c.clock
		return &have.counts
	}
	if len(c.byKey) >= maxCounters {
		c.evict()
	}
	k := &counter{query: q, counts: framework.Counts{ByValue: map[string]int{}}, used: c.clock}
	if q.Namespaces == nil {
		for _, pods := range namespaces {
			k.start(pods)
		}
	}
	for ns := range q.Namespaces {
		k.start(namespaces[ns])
	}
	c.add(k)
	return &k.counts
}

func (k *counter) start(pods podSet) {
	for p := range pods {
		k.change(p, p.Node, 1)
	}
}

func (c *counters) add(k *counter) {
	c.byKey[k.query.Key] = k
	switch {
	case k.query.Owner != "":
		c.byOwner[k.query.Owner] = append(c.byOwner[k.query.Owner], k)
	case len(k.query.Namespaces) == 1:
		for ns := range k.query.Namespaces {
			c.byNamespace[ns] = append(c.byNamespace[ns], k)
		}
	default:
		c.others = append(c.others, k)
	}
}

// change tells the counters of a pod that came (1) or went (-1).
func (c *counters) change(p *framework.Pod, n *framework.Node, by int) {
	if p.Owner != "" {
		for _, k := range c.byOwner[string(p.Owner)] {
			k.change(p, n, by)
		}
	}
	for _, k := range c.byNamespace[p.Namespace] {
		k.change(p, n, by)
	}
	for _, k := range c.others {
		k.change(p, n, by)
	}
}

func (k *counter) change(p *framework.Pod, n *framework.Node, by int) {
	value, ok := n.Name, true
	if k.query.TopologyKey != framework.ByNode {
		value, ok = n.Labels[k.query.TopologyKey]
	}
	if !ok || !k.query.Matches(p.Pod) {
		return
	}
	k.counts.Total += by
	if k.counts.ByValue[value] += by; k.counts.ByValue[value] == 0 {
		delete(k.counts.ByValue, value)
	}
}

// evict drops the counters that none of the last questions was about.
func (c *counters) evict() {
	old, clock := c.byKey, c.clock
	*c = newCounters()
	c.clock = clock
	for _, k := range old {
		if k.used >= clock-maxCounters/2 {
			c.add(k)
		}
	}
}
