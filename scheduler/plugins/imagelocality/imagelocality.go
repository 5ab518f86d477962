// Package imagelocality prefers nodes that have the pod's images already.
package imagelocality

import "hyperkube/scheduler/framework"

// Plugin implements framework.Scorer.
type Plugin struct{}

func (Plugin) Name() string  { return "ImageLocality" }
func (Plugin) Weight() int64 { return 1 }

const mib = 1 << 20

// Score grows from 23 MiB present per pod to 1000 MiB per container.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	if len(n.Images) == 0 {
		return 0
	}
	var present int64
	containers := c.Pod.Spec.Containers
	for i := range containers {
		present += n.Images[containers[i].Image]
	}
	low, high := int64(23*mib), int64(1000*mib)*int64(len(containers))
	present = min(max(present, low), high)
	return framework.MaxScore * (present - low) / (high - low)
}
