package decide

import (
	"cmp"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/scheduler/framework"
)

// Preemption is a node that would fit the pod once the victims are gone.
type Preemption struct {
	Node    *framework.Node
	Victims []*framework.Pod
}

// Budget tells which of the pods, in this order, could not be removed any more
// without breaking a disruption budget.
type Budget func(pods []*framework.Pod) []bool

// Preempt looks among open nodes for the one where removing pods of lower
// priority makes room at the least cost: fewest broken budgets, then the lowest
// highest victim, then the lowest sum of priorities, then the fewest victims,
// then those that started last.
func (d *Decider) Preempt(p *framework.Pod, cl Cluster, open []*framework.Node, breaks Budget) *Preemption {
	if p.Spec.PreemptionPolicy != nil && *p.Spec.PreemptionPolicy == corev1.PreemptNever {
		return nil
	}
	var best *candidate
	for i, n := range open {
		if i >= minFeasible && best != nil {
			break
		}
		if c := d.try(p, cl, n, breaks); c != nil && (best == nil || c.cost.compare(best.cost) < 0) {
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
	started time.Time // the earliest of the highest victims
}

func (a cost) compare(b cost) int {
	return cmp.Or(cmp.Compare(a.broken, b.broken), cmp.Compare(a.highest, b.highest), cmp.Compare(a.sum, b.sum),
		cmp.Compare(a.victims, b.victims), b.started.Compare(a.started))
}

// try lifts every lower pod off n and, if p then fits, returns as many as it
// can, those whose loss breaks a budget first, then the most important.
func (d *Decider) try(p *framework.Pod, cl Cluster, n *framework.Node, breaks Budget) *candidate {
	lower := lowerThan(p, n)
	if len(lower) == 0 {
		return nil
	}
	away := make(map[*framework.Pod]bool, len(lower))
	for _, q := range lower {
		cl.Lift(q)
		away[q] = true
	}
	defer func() {
		for _, q := range lower {
			if away[q] {
				cl.Return(q, n)
			}
		}
	}()
	if !d.fits(p, cl, n) {
		return nil
	}
	c := &candidate{Preemption: Preemption{Node: n}}
	broken := breaks(lower)
	for _, must := range []bool{true, false} {
		for i, q := range lower {
			if broken[i] != must {
				continue
			}
			cl.Return(q, n)
			if d.fits(p, cl, n) {
				delete(away, q)
				continue
			}
			cl.Lift(q)
			c.Victims = append(c.Victims, q)
			c.cost.add(q, must)
		}
	}
	if len(c.Victims) == 0 {
		return nil // it fits as it is: the next attempt will find that
	}
	return c
}

// lowerThan lists the pods on n of lower priority, the most important first:
// higher priority, then longer running.
func lowerThan(p *framework.Pod, n *framework.Node) []*framework.Pod {
	var lower []*framework.Pod
	for _, q := range n.Pods {
		if q.Priority() < p.Priority() {
			lower = append(lower, q)
		}
	}
	slices.SortStableFunc(lower, func(a, b *framework.Pod) int {
		return cmp.Or(cmp.Compare(b.Priority(), a.Priority()), startOf(a).Compare(startOf(b)), cmp.Compare(a.UID, b.UID))
	})
	return lower
}

func startOf(p *framework.Pod) time.Time {
	if p.Status.StartTime != nil {
		return p.Status.StartTime.Time
	}
	return p.CreationTimestamp.Time
}

func (c *cost) add(q *framework.Pod, breaks bool) {
	if breaks {
		c.broken++
	}
	switch at := startOf(q); {
	case c.victims == 0 || q.Priority() > c.highest:
		c.highest, c.started = q.Priority(), at
	case q.Priority() == c.highest && at.Before(c.started):
		c.started = at
	}
	// Shifted so that every victim costs something, also one of negative priority.
	c.sum += int64(q.Priority()) + math.MaxInt32 + 1
	c.victims++
}

func (d *Decider) fits(p *framework.Pod, cl Cluster, n *framework.Node) bool {
	a, v, _ := d.prepare(p, cl)
	if !v.OK() {
		return false
	}
	v, _ = a.check(n)
	return v.OK()
}
