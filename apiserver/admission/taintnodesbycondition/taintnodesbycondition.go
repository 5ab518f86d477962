// Package taintnodesbycondition keeps pods off a new node until the node
// lifecycle controller has seen it ready.
package taintnodesbycondition

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/admission"
)

// Plugin is TaintNodesByCondition.
type Plugin struct{}

var _ admission.Mutator = Plugin{}

// New makes the plugin.
func New() Plugin { return Plugin{} }

// Name as flags know it.
func (Plugin) Name() string { return "TaintNodesByCondition" }

// Handles new nodes.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Create && a.Is("", "nodes")
}

// Admit adds the taint.
func (Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	node, ok := a.Object.(*corev1.Node)
	if !ok {
		return nil
	}
	taint := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	for i := range node.Spec.Taints {
		if node.Spec.Taints[i].MatchTaint(&taint) {
			return nil
		}
	}
	node.Spec.Taints = append(node.Spec.Taints, taint)
	return nil
}
