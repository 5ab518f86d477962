// Package balanced prefers nodes on which cpu and memory would be used in like
// shares, so that neither runs out first.
package balanced

import (
	"math"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Scorer.
type Plugin struct{}

func (Plugin) Name() string  { return "NodeResourcesBalancedAllocation" }
func (Plugin) Weight() int64 { return 1 }

// Prepare skips pods that request neither.
func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	return c.Pod.Request.MilliCPU > 0 || c.Pod.Request.Memory > 0, framework.Fit()
}

// Score is 100 when both shares are equal and falls with half their distance.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	cpu := share(n.Requested.MilliCPU+c.Pod.Request.MilliCPU, n.Allocatable.MilliCPU)
	mem := share(n.Requested.Memory+c.Pod.Request.Memory, n.Allocatable.Memory)
	return int64((1 - math.Abs(cpu-mem)/2) * framework.MaxScore)
}

func share(used, capacity int64) float64 {
	if capacity == 0 {
		return 1
	}
	return min(1, float64(used)/float64(capacity))
}
