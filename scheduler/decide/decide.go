// Package decide picks a node for a pod. It is pure: the same pod, cluster and
// start give the same answer.
//
//	nodes, from start, round ─▶ filters ─▶ enough feasible ones ─▶ scores ─▶ best
//	                              │ none
//	                              └─▶ preemption: where would removing lower pods help?
//
// Room that was made for a pod is its own: others, unless more important, are
// judged as if it were there already.
package decide

import (
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/framework"
)

// Cluster is what decisions are made about; the snapshot implements it.
type Cluster interface {
	framework.Cluster
	Node(name string) *framework.Node
	// NominatedNode is where room was made for a pending pod, or nil.
	NominatedNode(uid types.UID) *framework.Node
	Lift(p *framework.Pod)                      // take a pod off its node
	Return(p *framework.Pod, n *framework.Node) // and put it back
}

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
	wokenBy   framework.Event
}

// New sorts out what each plugin does.
func New(list []framework.Plugin) *Decider {
	d := &Decider{}
	for _, p := range list {
		e := entry{Plugin: p, wokenBy: framework.Every}
		e.prepare, _ = p.(framework.Preparer)
		e.filter, _ = p.(framework.Filter)
		e.score, _ = p.(framework.Scorer)
		e.normalize, _ = p.(framework.Normalizer)
		if w, ok := p.(framework.Woken); ok {
			e.wokenBy = w.WokenBy()
		}
		d.plugins = append(d.plugins, e)
	}
	return d
}

// Decision is what came out. Node is nil when the pod fits nowhere; Reasons then
// counts nodes by why.
type Decision struct {
	Node      *framework.Node
	Evaluated int // of the round from start, for where to begin next
	Feasible  int
	Reasons   map[string]int
	// Refused is set when a plugin refused the pod before any node was asked.
	Refused string
	// Open are the nodes whose refusal might end if pods were removed.
	Open []*framework.Node
	// Rejecters are the plugins that refused, Waits the changes that may help.
	Rejecters []string
	Waits     framework.Event

	run runOf // of like refusals, not counted in Reasons yet
}

// runOf is how often the last reason came in a row: neighbours are often refused
// for the same one, and counting them one by one in a map is slow.
type runOf struct {
	reason string
	n      int
	by     *entry
}

// attempt is one pod's way through the plugins: those that have nothing to say
// about it are left out of the loops.
type attempt struct {
	d       *Decider
	cl      Cluster
	cycle   *framework.Cycle
	filters []*entry
	scorers []*entry
}

func (d *Decider) prepare(p *framework.Pod, cl Cluster) (*attempt, framework.Verdict, *entry) {
	if p.TooMuch != "" {
		return nil, framework.Never(p.TooMuch), nil
	}
	a := &attempt{d: d, cl: cl, cycle: framework.NewCycle(p, cl)}
	for i := range d.plugins {
		e := &d.plugins[i]
		if e.prepare != nil {
			relevant, v := e.prepare.Prepare(a.cycle)
			if !v.OK() {
				return nil, v, e
			}
			if !relevant {
				continue
			}
		}
		if e.filter != nil {
			a.filters = append(a.filters, e)
		}
		if e.score != nil {
			a.scorers = append(a.scorers, e)
		}
	}
	return a, framework.Fit(), nil
}

// Decide places p. start is the node to begin with, so that successive pods do
// not all look at the same ones.
func (d *Decider) Decide(p *framework.Pod, cl Cluster, start int) Decision {
	out := Decision{}
	a, v, by := d.prepare(p, cl)
	if !v.OK() {
		out.Refused = v.Reason
		if by != nil {
			out.refusedBy(by)
		}
		return out
	}
	if n := cl.NominatedNode(p.UID); n != nil {
		if v, _ := a.check(n); v.OK() {
			out.Node, out.Feasible = n, 1
			return out
		}
	}
	out.Node = a.best(a.feasible(&out, start))
	return out
}

// feasible asks nodes until enough of them fit.
func (a *attempt) feasible(out *Decision, start int) []*framework.Node {
	nodes := a.cl.Nodes()
	if a.cycle.Only != nil {
		nodes = a.only(out, len(nodes))
		start = 0
	}
	enough := enoughOf(len(nodes))
	feasible := make([]*framework.Node, 0, min(enough, len(nodes)))
	asked := 0
	for i := start; asked < len(nodes) && len(feasible) < enough; asked++ {
		if i >= len(nodes) {
			i = 0
		}
		n := nodes[i]
		i++
		if v, by := a.check(n); !v.OK() {
			out.reject(n, v, by)
			continue
		}
		feasible = append(feasible, n)
	}
	if a.cycle.Only == nil {
		out.Evaluated = asked
	}
	out.endRun()
	out.Feasible = len(feasible)
	return feasible
}

// only returns the nodes that a Prepare narrowed the choice to.
func (a *attempt) only(out *Decision, all int) []*framework.Node {
	var nodes []*framework.Node
	for _, name := range a.cycle.Only {
		if n := a.cl.Node(name); n != nil {
			nodes = append(nodes, n)
		}
	}
	if all > len(nodes) {
		out.because("node(s) didn't satisfy plugin(s) ["+a.cycle.OnlyBy+"]", all-len(nodes))
	}
	for i := range a.d.plugins {
		if e := &a.d.plugins[i]; e.Name() == a.cycle.OnlyBy {
			out.refusedBy(e)
		}
	}
	return nodes
}

func (o *Decision) reject(n *framework.Node, v framework.Verdict, by *entry) {
	if o.run.by != by || o.run.reason != v.Reason {
		o.endRun()
		o.run = runOf{v.Reason, 0, by}
		o.refusedBy(by)
	}
	o.run.n++
	for _, r := range v.More {
		o.because(r, 1)
	}
	if !v.Final {
		o.Open = append(o.Open, n)
	}
}

func (o *Decision) endRun() {
	if o.run.n > 0 {
		o.because(o.run.reason, o.run.n)
		o.run = runOf{}
	}
}

func (o *Decision) because(reason string, nodes int) {
	if o.Reasons == nil {
		o.Reasons = map[string]int{}
	}
	o.Reasons[reason] += nodes
}

func (o *Decision) refusedBy(e *entry) {
	for _, name := range o.Rejecters {
		if name == e.Name() {
			return
		}
	}
	o.Rejecters = append(o.Rejecters, e.Name())
	o.Waits |= e.wokenBy
}

// check asks the filters, and where room is kept for others, asks them also with
// those in place.
func (a *attempt) check(n *framework.Node) (framework.Verdict, *entry) {
	if len(n.Nominated) > 0 {
		if v, by := a.withNominated(n); !v.OK() {
			return v, by
		}
	}
	return a.filter(n)
}

func (a *attempt) withNominated(n *framework.Node) (framework.Verdict, *entry) {
	var there []*framework.Pod
	for _, q := range n.Nominated {
		if q.UID != a.cycle.Pod.UID && q.Priority() >= a.cycle.Pod.Priority() && q.Node == nil {
			there = append(there, q)
		}
	}
	if len(there) == 0 {
		return framework.Fit(), nil
	}
	for _, q := range there {
		a.cl.Return(q, n)
	}
	defer func() {
		for _, q := range there {
			a.cl.Lift(q)
		}
	}()
	b, v, by := a.d.prepare(a.cycle.Pod, a.cl)
	if !v.OK() {
		return v, by
	}
	return b.filter(n)
}

func (a *attempt) filter(n *framework.Node) (framework.Verdict, *entry) {
	for _, e := range a.filters {
		if v := e.filter.Filter(a.cycle, n); !v.OK() {
			return v, e
		}
	}
	return framework.Fit(), nil
}
