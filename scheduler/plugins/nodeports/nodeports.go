// Package nodeports keeps two pods from claiming one host port on a node.
package nodeports

import "hyperkube/scheduler/framework"

// Plugin implements framework.Preparer, Filter and Woken.
type Plugin struct{}

func (Plugin) Name() string { return "NodePorts" }

func (Plugin) WokenBy() framework.Event { return framework.NodeAdded | framework.PodGone }

func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	return len(c.Pod.Ports) > 0, framework.Fit()
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	for _, want := range c.Pod.Ports {
		for _, have := range n.Ports {
			if want.Conflicts(have) {
				return framework.Unfit("node(s) didn't have free ports for the requested pod ports")
			}
		}
	}
	return framework.Fit()
}
