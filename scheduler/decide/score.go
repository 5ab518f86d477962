package decide

import "hyperkube/scheduler/framework"

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

// Next is where the pod after this one begins to look. When all nodes were
// asked it still moves on by one, so that equals take turns.
func (d Decision) Next(start, nodes int) int {
	if nodes == 0 {
		return 0
	}
	step := d.Evaluated
	if step >= nodes {
		step = 1
	}
	return (start + step) % nodes
}
