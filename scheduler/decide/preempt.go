package decide

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/scheduler/framework"
)

// Preemption is a node that would fit the pod once the victims are gone.
type Preemption struct {
	Node    *framework.Node
	Victims []*framework.Pod
}

// Mover lets the decider try a node without some of its pods. Both calls must
// leave counters right; the snapshot implements it.
type Mover interface {
	framework.Cluster
	Lift(p *framework.Pod)                      // take a placed pod off its node
	Return(p *framework.Pod, n *framework.Node) // and put it back
}

// Disruptable tells whether removing p would break a disruption budget.
type Disruptable func(p *corev1.Pod) bool

// Preempt looks among open nodes for the one where removing pods of lower
// priority makes room at the least cost: fewest broken budgets, then the lowest
// highest victim, then the lowest sum of priorities, then the fewest victims.
func (d *Decider) Preempt(p *framework.Pod, cl Mover, open []*framework.Node, breaks Disruptable) *Preemption {
	if p.Spec.PreemptionPolicy != nil && *p.Spec.PreemptionPolicy == corev1.PreemptNever {
		return nil
	}
	var best *candidate
	for i, n := range open {
		if i == minFeasible && best != nil {
			break
		}
		if c := d.try(p, cl, n, breaks); c != nil && (best == nil || c.cost.less(best.cost)) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	return &best.Preemption
}

type candidate struct {
	Preemption
	cost cost
}

type cost struct {
	broken  int
	highest int32
	sum     int64
	victims int
}

func (a cost) less(b cost) bool {
	if a.broken != b.broken {
		return a.broken < b.broken
	}
	if a.highest != b.highest {
		return a.highest < b.highest
	}
	if a.sum != b.sum {
		return a.sum < b.sum
	}
	return a.victims < b.victims
}

// try lifts every lower pod off n and, if p then fits, returns as many as it
// can, the most important (and those whose loss breaks a budget) first.
func (d *Decider) try(p *framework.Pod, cl Mover, n *framework.Node, breaks Disruptable) *candidate {
	var lower []*framework.Pod
	for _, q := range n.Pods {
		if q.Priority() < p.Priority() {
			lower = append(lower, q)
		}
	}
	if len(lower) == 0 {
		return nil
	}
	slices.SortStableFunc(lower, func(a, b *framework.Pod) int {
		if x, y := breaks(a.Pod), breaks(b.Pod); x != y {
			return order(y, x)
		}
		return int(b.Priority() - a.Priority())
	})
	for _, q := range lower {
		cl.Lift(q)
	}
	away := slices.Clone(lower)
	defer func() {
		for _, q := range away {
			cl.Return(q, n)
		}
	}()
	if !d.fits(p, cl, n) {
		return nil
	}
	c := &candidate{Preemption: Preemption{Node: n}}
	away = away[:0]
	for _, q := range lower {
		cl.Return(q, n)
		if d.fits(p, cl, n) {
			continue
		}
		cl.Lift(q)
		away = append(away, q)
		c.Victims = append(c.Victims, q)
		c.cost.add(q, breaks(q.Pod))
	}
	return c
}

func (c *cost) add(q *framework.Pod, breaks bool) {
	if breaks {
		c.broken++
	}
	if c.victims == 0 || q.Priority() > c.highest {
		c.highest = q.Priority()
	}
	c.sum += int64(q.Priority())
	c.victims++
}

// order sorts true before false.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (d *Decider) fits(p *framework.Pod, cl framework.Cluster, n *framework.Node) bool {
	a, v, _ := d.prepare(p, cl)
	if !v.OK() {
		return false
	}
	v, _ = a.filter(n)
	return v.OK()
}
