// Package unschedulable keeps pods off cordoned nodes unless they tolerate the
// taint that cordoning stands for.
package unschedulable

import (
	corev1 "k8s.io/api/core/v1"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Filter and Woken.
type Plugin struct{}

func (Plugin) Name() string { return "NodeUnschedulable" }

func (Plugin) WokenBy() framework.Event { return framework.NodeAdded | framework.NodeChanged }

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	if !n.Cordoned {
		return framework.Fit()
	}
	taint := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	if corehelpers.TolerationsTolerateTaint(klog.Background(), c.Pod.Spec.Tolerations, &taint, true) {
		return framework.Fit()
	}
	return framework.Never("node(s) were unschedulable")
}
