// Package fit keeps pods off nodes that have not enough left of what they
// request, and prefers the nodes that would be used least.
package fit

import (
	"maps"
	"slices"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Filter, Scorer and Woken.
type Plugin struct{}

func (Plugin) Name() string  { return "NodeResourcesFit" }
func (Plugin) Weight() int64 { return 1 }

func (Plugin) WokenBy() framework.Event {
	return framework.NodeAdded | framework.NodeChanged | framework.PodGone | framework.NominationGone
}

// Filter names everything that is short. The refusal is final when the node
// would be too small even if it were empty.
func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	want, have, used := &c.Pod.Request, &n.Allocatable, &n.Requested
	if used.Pods+want.Pods <= have.Pods && !lacks(want.MilliCPU, used.MilliCPU, have.MilliCPU) &&
		!lacks(want.Memory, used.Memory, have.Memory) && len(want.Other) == 0 && !lacks(want.Ephemeral, used.Ephemeral, have.Ephemeral) {
		return framework.Fit()
	}
	var v framework.Verdict
	if used.Pods+want.Pods > have.Pods {
		refuse(&v, "Too many pods", want.Pods > have.Pods)
	}
	check := func(reason string, want, used, have int64) {
		if lacks(want, used, have) {
			refuse(&v, reason, want > have)
		}
	}
	check("Insufficient cpu", want.MilliCPU, used.MilliCPU, have.MilliCPU)
	check("Insufficient memory", want.Memory, used.Memory, have.Memory)
	check("Insufficient ephemeral-storage", want.Ephemeral, used.Ephemeral, have.Ephemeral)
	for _, name := range slices.Sorted(maps.Keys(want.Other)) {
		check("Insufficient "+string(name), want.Other[name], used.Other[name], have.Other[name])
	}
	return v
}

func lacks(want, used, have int64) bool { return want > 0 && used+want > have }

func refuse(v *framework.Verdict, reason string, never bool) {
	v.Final = v.Final || never
	if v.Reason == "" {
		v.Reason = reason
		return
	}
	v.More = append(v.More, reason)
}

// Score is the mean share of cpu and memory that stays free, where containers
// that request nothing count for a little.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	cpu := framework.Free(n.Weight.MilliCPU+c.Pod.Weight.MilliCPU, n.Allocatable.MilliCPU)
	mem := framework.Free(n.Weight.Memory+c.Pod.Weight.Memory, n.Allocatable.Memory)
	return (cpu + mem) / 2
}
