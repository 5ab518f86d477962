package policy

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/policy"
	"hyperkube/apiserver/kind"
)

func podDisruptionBudget() *kind.Kind {
	return kind.New(kind.Spec[*policyv1.PodDisruptionBudget]{
		Names: kind.Names{
			Group: "policy", Version: "v1", Kind: "PodDisruptionBudget", Plural: "poddisruptionbudgets", Singular: "poddisruptionbudget",
			ShortNames: []string{"pdb"}, Namespaced: true,
		},
		New:     func() *policyv1.PodDisruptionBudget { return &policyv1.PodDisruptionBudget{} },
		NewList: func() runtime.Object { return &policyv1.PodDisruptionBudgetList{} },
		PrepareCreate: func(_ context.Context, o *policyv1.PodDisruptionBudget) {
			o.Status = policyv1.PodDisruptionBudgetStatus{}
		},
		PrepareUpdate: func(_ context.Context, o, old *policyv1.PodDisruptionBudget) { o.Status = old.Status },
		Generation: func(o, old *policyv1.PodDisruptionBudget) bool {
			return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec)
		},
		Validate: rules.ValidatePodDisruptionBudget,
		Columns:  rules.PodDisruptionBudgetColumns(),
		Row:      rules.PodDisruptionBudgetRow,
		Status: &kind.SubRules[*policyv1.PodDisruptionBudget]{
			Prepare:  func(_ context.Context, o, old *policyv1.PodDisruptionBudget) { o.Spec = old.Spec },
			Validate: rules.ValidatePodDisruptionBudgetStatus,
		},
	})
}
