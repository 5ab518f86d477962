package framework

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// tooMuch says what of the pod is beyond the bounds of what is compared with every
// node and pod, "" for nothing. All pods wait while one is placed.
func tooMuch(p *corev1.Pod) string {
	var e effort
	e.spread(p.Spec.TopologySpreadConstraints)
	e.conditions += len(p.Spec.NodeSelector)
	if a := p.Spec.Affinity; a != nil {
		e.nodeAffinity(a.NodeAffinity)
		if x := a.PodAffinity; x != nil {
			e.podTerms(x.RequiredDuringSchedulingIgnoredDuringExecution, x.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if x := a.PodAntiAffinity; x != nil {
			e.podTerms(x.RequiredDuringSchedulingIgnoredDuringExecution, x.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	switch {
	case e.terms > bounds.PlacementTerms:
		return fmt.Sprintf("pod has %d affinity terms and spread constraints, more than %d", e.terms, bounds.PlacementTerms)
	case e.conditions > bounds.PlacementConditions:
		return fmt.Sprintf("pod has %d conditions in its node selectors, affinity terms and spread constraints, more than %d", e.conditions, bounds.PlacementConditions)
	}
	return ""
}

// effort counts what takes time for each node or pod: terms, and the conditions in them.
type effort struct{ terms, conditions int }

func (e *effort) spread(list []corev1.TopologySpreadConstraint) {
	e.terms += len(list)
	for i := range list {
		e.selector(list[i].LabelSelector)
		e.conditions += len(list[i].MatchLabelKeys)
	}
}

func (e *effort) nodeAffinity(a *corev1.NodeAffinity) {
	if a == nil {
		return
	}
	term := func(t *corev1.NodeSelectorTerm) {
		e.terms++
		for _, list := range [][]corev1.NodeSelectorRequirement{t.MatchExpressions, t.MatchFields} {
			for i := range list {
				e.conditions += 1 + len(list[i].Values)
			}
		}
	}
	if r := a.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		for i := range r.NodeSelectorTerms {
			term(&r.NodeSelectorTerms[i])
		}
	}
	for i := range a.PreferredDuringSchedulingIgnoredDuringExecution {
		term(&a.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference)
	}
}

func (e *effort) podTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	term := func(t *corev1.PodAffinityTerm) {
		e.terms++
		e.conditions += len(t.Namespaces) + len(t.MatchLabelKeys) + len(t.MismatchLabelKeys)
		e.selector(t.LabelSelector)
		e.selector(t.NamespaceSelector)
	}
	for i := range required {
		term(&required[i])
	}
	for i := range preferred {
		term(&preferred[i].PodAffinityTerm)
	}
}

func (e *effort) selector(s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	e.conditions += len(s.MatchLabels)
	for i := range s.MatchExpressions {
		e.conditions += 1 + len(s.MatchExpressions[i].Values)
	}
}
