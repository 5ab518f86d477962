// Package decide picks a node for a pod. It is pure: the same pod, cluster and
// start give the same answer.
//
//	nodes, from start, round ─▶ filters ─▶ enough feasible ones ─▶ scores ─▶ best
package decide

import (
	"hyperkube/scheduler/framework"
)

// Decider holds the plugins by the points they take part in.
type Decider struct {
	plugins []entry
}

type entry struct {
	framework.Plugin
	prepare   framework.Preparer
	filter    framework.Filter
	score     framework.Scorer
	normalize framework.Normalizer
}

// New sorts out what each plugin does.
func New(list []framework.Plugin) *Decider {
	d := &Decider{}
	for _, p := range list {
		e := entry{Plugin: p}
		e.prepare, _ = p.(framework.Preparer)
		e.filter, _ = p.(framework.Filter)
		e.score, _ = p.(framework.Scorer)
		e.normalize, _ = p.(framework.Normalizer)
		d.plugins = append(d.plugins, e)
	}
	return d
}

// Decision is what came out. Node is nil when the pod fits nowhere; Reasons then
// counts nodes by why.
type Decision struct {
	Node      *framework.Node
	Evaluated int
	Feasible  int
	Reasons   map[string]int
	// Refused is set when a plugin refused the pod before any node was asked.
	Refused string
	// Open are the nodes whose refusal might end if pods were removed.
	Open []*framework.Node
	// Rejecters are the plugins that refused, for waking the pod later.
	Rejecters map[string]bool
}

// attempt is one pod's way through the plugins: those that have nothing to say
// about it are left out of the loops.
type attempt struct {
	cycle   *framework.Cycle
	filters []framework.Filter
	scorers []entry
}

func (d *Decider) prepare(p *framework.Pod, cl framework.Cluster) (*attempt, framework.Verdict, string) {
	a := &attempt{cycle: framework.NewCycle(p, cl)}
	for _, e := range d.plugins {
		if e.prepare != nil {
			relevant, v := e.prepare.Prepare(a.cycle)
			if !v.OK() {
				return nil, v, e.Name()
			}
			if !relevant {
				continue
			}
		}
		if e.filter != nil {
			a.filters = append(a.filters, e.filter)
		}
		if e.score != nil {
			a.scorers = append(a.scorers, e)
		}
	}
	return a, framework.Fit(), ""
}

// Decide places p. start is the node to begin with, so that successive pods do
// not all look at the same ones.
func (d *Decider) Decide(p *framework.Pod, cl framework.Cluster, start int) Decision {
	out := Decision{}
	a, v, by := d.prepare(p, cl)
	if !v.OK() {
		out.Refused, out.Rejecters = v.Reason, map[string]bool{by: true}
		return out
	}
	nodes := cl.Nodes()
	enough := enoughOf(len(nodes))
	feasible := make([]*framework.Node, 0, min(enough, len(nodes)))
	for i := 0; i < len(nodes) && len(feasible) < enough; i++ {
		n := nodes[(start+i)%len(nodes)]
		out.Evaluated++
		if v, by := a.filter(n); !v.OK() {
			out.reject(n, v, by)
			continue
		}
		feasible = append(feasible, n)
	}
	out.Feasible = len(feasible)
	out.Node = a.best(feasible)
	return out
}

func (o *Decision) reject(n *framework.Node, v framework.Verdict, by string) {
	if o.Reasons == nil {
		o.Reasons, o.Rejecters = map[string]int{}, map[string]bool{}
	}
	o.Reasons[v.Reason]++
	o.Rejecters[by] = true
	if !v.Final {
		o.Open = append(o.Open, n)
	}
}

func (a *attempt) filter(n *framework.Node) (framework.Verdict, string) {
	for _, f := range a.filters {
		if v := f.Filter(a.cycle, n); !v.OK() {
			return v, f.Name()
		}
	}
	return framework.Fit(), ""
}

// best returns the node with the highest sum of weighted scores; the first seen
// wins a tie, and start rotates who is first.
func (a *attempt) best(nodes []*framework.Node) *framework.Node {
	if len(nodes) <= 1 {
		if len(nodes) == 0 {
			return nil
		}
		return nodes[0]
	}
	total := make([]int64, len(nodes))
	one := make([]int64, len(nodes))
	for _, e := range a.scorers {
		for i, n := range nodes {
			one[i] = e.score.Score(a.cycle, n)
		}
		if e.normalize != nil {
			e.normalize.Normalize(a.cycle, one)
		}
		w := e.score.Weight()
		for i := range one {
			total[i] += w * one[i]
		}
	}
	best := 0
	for i, t := range total {
		if t > total[best] {
			best = i
		}
	}
	return nodes[best]
}

const minFeasible = 100

// enoughOf is how many feasible nodes are scored: all of a small cluster, a
// share that falls from 50 % to 5 % of a large one.
func enoughOf(nodes int) int {
	if nodes < minFeasible {
		return nodes
	}
	percent := max(5, 50-nodes/125)
	return max(minFeasible, nodes*percent/100)
}
