package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"hyperkube/kit"
)

// budgets answers whether removing a pod would break a disruption budget.
type budgets struct {
	informer *kit.Informer[*policyv1.PodDisruptionBudget]
}

func (b budgets) breaks(p *corev1.Pod) bool {
	for _, pdb := range b.informer.ListIn(p.Namespace) {
		if pdb.Status.DisruptionsAllowed > 0 {
			continue
		}
		sel, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err == nil && !sel.Empty() && sel.Matches(labels.Set(p.Labels)) {
			return true
		}
	}
	return false
}
