// Package taints keeps pods off nodes whose taints they do not tolerate, and
// prefers nodes with fewer PreferNoSchedule taints that they do not.
package taints

import (
	corev1 "k8s.io/api/core/v1"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Filter, Scorer, Normalizer and Woken.
type Plugin struct{}

func (Plugin) Name() string  { return "TaintToleration" }
func (Plugin) Weight() int64 { return 3 }

func (Plugin) WokenBy() framework.Event { return framework.NodeAdded | framework.NodeChanged }

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	for i := range n.Taints {
		t := &n.Taints[i]
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		if !corehelpers.TolerationsTolerateTaint(klog.Background(), c.Pod.Spec.Tolerations, t, true) {
			return framework.Never("node(s) had untolerated taint(s)")
		}
	}
	return framework.Fit()
}

// Score counts what is not tolerated; Normalize turns the count round.
func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	var count int64
	for i := range n.Taints {
		t := &n.Taints[i]
		if t.Effect == corev1.TaintEffectPreferNoSchedule && !corehelpers.TolerationsTolerateTaint(klog.Background(), c.Pod.Spec.Tolerations, t, true) {
			count++
		}
	}
	return count
}

func (Plugin) Normalize(_ *framework.Cycle, scores []int64) { framework.Reverse(scores) }
