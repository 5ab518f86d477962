// Package nodename keeps pods that name a node off all others. (Pods with
// spec.nodeName never reach the scheduler; metadata.name field terms are node
// affinity's. This plugin answers for preset names in simulations and tests.)
package nodename

import "hyperkube/scheduler/framework"

// Plugin implements framework.Filter and Woken.
type Plugin struct{}

func (Plugin) Name() string { return "NodeName" }

func (Plugin) WokenBy() framework.Event { return framework.NodeAdded }

// Prepare is relevant only for pods that name a node.
func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	return c.Pod.Spec.NodeName != "", framework.Fit()
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	if c.Pod.Spec.NodeName != n.Name {
		return framework.Never("node(s) didn't match the requested node name")
	}
	return framework.Fit()
}
