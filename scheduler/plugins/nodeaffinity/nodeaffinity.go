// Package nodeaffinity matches node selectors and required node affinity, and
// prefers nodes by the weights of preferred terms.
package nodeaffinity

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"hyperkube/scheduler/framework"
)

// Plugin implements framework.Preparer, Filter, Scorer, Normalizer and Woken.
type Plugin struct{}

const name = "NodeAffinity"

func (Plugin) Name() string  { return name }
func (Plugin) Weight() int64 { return 2 }

func (Plugin) WokenBy() framework.Event { return framework.NodeAdded | framework.NodeChanged }

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
	if names := named(spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution); names != nil {
		c.Only, c.OnlyBy = names, name
	}
	return true, framework.Fit()
}

// named lists the nodes that required terms name, when every term names some, as
// those of daemon set pods do: nil means that any node has to be asked.
func named(sel *corev1.NodeSelector) []string {
	if sel == nil {
		return nil
	}
	out := []string{}
	for _, t := range sel.NodeSelectorTerms {
		i := slices.IndexFunc(t.MatchFields, func(r corev1.NodeSelectorRequirement) bool {
			return r.Key == metav1.ObjectNameField && r.Operator == corev1.NodeSelectorOpIn
		})
		if i < 0 {
			return nil
		}
		out = append(out, t.MatchFields[i].Values...)
	}
	slices.Sort(out)
	return slices.Compact(out)
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
