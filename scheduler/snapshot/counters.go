package snapshot

import (
	"hyperkube/scheduler/framework"
)

// maxCounters bounds the memory of counters; the least recently asked goes first.
const maxCounters = 1024

// counters keep, for every question asked lately, how many placed pods answer
// it in each topology domain. Questions about one controller's pods are found by
// the owner, so that placing a pod does not walk those of others.
type counters struct {
	byKey   map[string]*counter
	byOwner map[string][]*counter
	others  []*counter
	clock   int64
}

type counter struct {
	query  framework.CountQuery
	counts framework.Counts
	used   int64
}

func newCounters() counters {
	return counters{byKey: map[string]*counter{}, byOwner: map[string][]*counter{}}
}

func (c *counters) reset() { *c = newCounters() }

// get returns the counts for q, making them from all nodes when q is new.
func (c *counters) get(q framework.CountQuery, nodes []*framework.Node) *framework.Counts {
	c.clock++
	key := q.Key
	if q.Owner != "" {
		key = q.TopologyKey + "\x00" + q.Owner
	}
	if have, ok := c.byKey[key]; ok {
		have.used = c.clock
		return &have.counts
	}
	if len(c.byKey) >= maxCounters {
		c.evict()
	}
	n := &counter{query: q, counts: framework.Counts{ByValue: map[string]int{}}, used: c.clock}
	for _, node := range nodes {
		for _, p := range node.Pods {
			n.change(p, node, 1)
		}
	}
	c.byKey[key] = n
	if q.Owner != "" {
		c.byOwner[q.Owner] = append(c.byOwner[q.Owner], n)
	} else {
		c.others = append(c.others, n)
	}
	return &n.counts
}

// change tells the counters of a pod that came (1) or went (-1).
func (c *counters) change(p *framework.Pod, n *framework.Node, by int) {
	for _, k := range c.byOwner[string(p.Owner)] {
		k.change(p, n, by)
	}
	for _, k := range c.others {
		k.change(p, n, by)
	}
}

func (k *counter) change(p *framework.Pod, n *framework.Node, by int) {
	if !k.query.Matches(p.Pod) {
		return
	}
	value, ok := n.Labels[k.query.TopologyKey]
	if !ok {
		return
	}
	k.counts.Total += by
	if k.counts.ByValue[value] += by; k.counts.ByValue[value] == 0 {
		delete(k.counts.ByValue, value)
	}
}

// evict drops the half that was asked longest ago.
func (c *counters) evict() {
	old := c.byKey
	floor := c.clock - maxCounters/2
	c.byKey, c.byOwner, c.others = map[string]*counter{}, map[string][]*counter{}, nil
	for key, k := range old {
		if k.used < floor {
			continue
		}
		c.byKey[key] = k
		if k.query.Owner != "" {
			c.byOwner[k.query.Owner] = append(c.byOwner[k.query.Owner], k)
		} else {
			c.others = append(c.others, k)
		}
	}
}
