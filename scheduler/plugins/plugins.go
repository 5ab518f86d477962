// Package plugins is the one list of the scheduler's plugins. Filters are asked
// in this order and the first refusal ends a node's turn, so cheap and choosy
// ones come first.
package plugins

import (
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/plugins/balanced"
	"hyperkube/scheduler/plugins/claims"
	"hyperkube/scheduler/plugins/fit"
	"hyperkube/scheduler/plugins/imagelocality"
	"hyperkube/scheduler/plugins/nodeaffinity"
	"hyperkube/scheduler/plugins/nodename"
	"hyperkube/scheduler/plugins/nodeports"
	"hyperkube/scheduler/plugins/podaffinity"
	"hyperkube/scheduler/plugins/spread"
	"hyperkube/scheduler/plugins/taints"
	"hyperkube/scheduler/plugins/unschedulable"
	"hyperkube/scheduler/plugins/volumes"
)

// All returns the default plugins.
func All() []framework.Plugin {
	return []framework.Plugin{
		unschedulable.Plugin{}, // cordoned nodes
		nodename.Plugin{},      // a preset node
		taints.Plugin{},        // also scores
		nodeaffinity.Plugin{},  // node selector; also scores
		nodeports.Plugin{},     // host ports
		fit.Plugin{},           // cpu, memory, storage, extended resources; also scores
		volumes.Plugin{},       // claims and the nodes that reach them
		claims.Plugin{},        // devices: there, allocated, reserved and within reach
		spread.Plugin{},        // topology spread; also scores
		podaffinity.Plugin{},   // near to and away from pods; also scores
		balanced.Plugin{},      // scores only
		imagelocality.Plugin{}, // scores only
	}
}
