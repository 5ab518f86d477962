// Package fit keeps pods off nodes that have not enough left of what they
// request, and prefers the nodes that would be used least.
package fit

import (
	"fmt"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Filter and Scorer.
type Plugin struct{}

func (Plugin) Name() string  { return "NodeResourcesFit" }
func (Plugin) Weight() int64 { return 1 }

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	want, have, used := &c.Pod.Request, &n.Allocatable, &n.Requested
	switch {
	case used.Pods+want.Pods > have.Pods:
		return framework.Unfit("Too many pods")
	case lacks(want.MilliCPU, used.MilliCPU, have.MilliCPU):
		return verdict("cpu", want.MilliCPU > have.MilliCPU)
	case lacks(want.Memory, used.Memory, have.Memory):
		return verdict("memory", want.Memory > have.Memory)
	case lacks(want.Ephemeral, used.Ephemeral, have.Ephemeral):
		return verdict("ephemeral-storage", want.Ephemeral > have.Ephemeral)
	}
	for name, v := range want.Other {
		if lacks(v, used.Other[name], have.Other[name]) {
			return verdict(string(name), v > have.Other[name])
		}
	}
	return framework.Fit()
}

func lacks(want, used, have int64) bool { return want > 0 && used+want > have }

// verdict is final when the node would be too small even if it were empty.
func verdict(resource string, never bool) framework.Verdict {
	return framework.Verdict{Reason: fmt.Sprintf("Insufficient %s", resource), Final: never}
}

// Score is the mean share of cpu and memory that stays free.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	cpu := framework.Free(n.Requested.MilliCPU+floor(c.Pod.Request.MilliCPU, framework.DefaultMilliCPU), n.Allocatable.MilliCPU)
	mem := framework.Free(n.Requested.Memory+floor(c.Pod.Request.Memory, framework.DefaultMemory), n.Allocatable.Memory)
	return (cpu + mem) / 2
}

func floor(v, least int64) int64 {
	if v == 0 {
		return least
	}
	return v
}
