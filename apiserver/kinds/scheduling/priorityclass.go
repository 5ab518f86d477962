package scheduling

import (
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/scheduling"
	"hyperkube/apiserver/kind"
)

func priorityClass() *kind.Kind {
	return kind.New(kind.Spec[*schedulingv1.PriorityClass]{
		Names: kind.Names{
			Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass", Plural: "priorityclasses", Singular: "priorityclass",
			ShortNames: []string{"pc"},
		},
		New:            func() *schedulingv1.PriorityClass { return &schedulingv1.PriorityClass{} },
		NewList:        func() runtime.Object { return &schedulingv1.PriorityClassList{} },
		Default:        rules.DefaultPriorityClass,
		Generation:     func(o, old *schedulingv1.PriorityClass) bool { return false },
		Validate:       rules.ValidatePriorityClass,
		ValidateUpdate: rules.ValidatePriorityClassUpdate,
		Columns:        rules.PriorityClassColumns(),
		Row:            rules.PriorityClassRow,
	})
}
