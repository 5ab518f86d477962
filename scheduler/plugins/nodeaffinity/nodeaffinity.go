// Package nodeaffinity matches node selectors and required node affinity, and
// prefers nodes by the weights of preferred terms.
package nodeaffinity

import (
	"fmt"

	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter, Scorer and Normalizer.
type Plugin struct{}

const name = "NodeAffinity"

func (Plugin) Name() string  { return name }
func (Plugin) Weight() int64 { return 2 }

func (Plugin) Prepare(c *framework.Cycle) (bool, framework.Verdict) {
	spec := &c.Pod.Spec
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return len(spec.NodeSelector) > 0, framework.Fit()
	}
	terms, err := nodeaffinity.NewPreferredSchedulingTerms(spec.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	if err != nil {
		return false, framework.Never(fmt.Sprintf("invalid preferred node affinity: %v", err))
	}
	c.Put(name, terms)
	return true, framework.Fit()
}

func (Plugin) Filter(c *framework.Cycle, n *framework.Node) framework.Verdict {
	ok, err := c.Pod.Required.Match(n.Node)
	if err != nil {
		return framework.Never(fmt.Sprintf("invalid node affinity: %v", err))
	}
	if !ok {
		return framework.Never("node(s) didn't match Pod's node affinity/selector")
	}
	return framework.Fit()
}

func (Plugin) Score(c *framework.Cycle, n *framework.Node) int64 {
	if terms, ok := c.Get(name).(*nodeaffinity.PreferredSchedulingTerms); ok && terms != nil {
		return terms.Score(n.Node)
	}
	return 0
}

func (Plugin) Normalize(_ *framework.Cycle, scores []int64) { framework.Stretch(scores) }
