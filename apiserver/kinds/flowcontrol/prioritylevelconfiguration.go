package flowcontrol

import (
	"context"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/flowcontrol"
	"hyperkube/apiserver/kind"
)

func priorityLevelConfiguration() *kind.Kind {
	return kind.New(kind.Spec[*flowcontrolv1.PriorityLevelConfiguration]{
		Names: kind.Names{
			Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "PriorityLevelConfiguration", Plural: "prioritylevelconfigurations", Singular: "prioritylevelconfiguration",
		},
		New:     func() *flowcontrolv1.PriorityLevelConfiguration { return &flowcontrolv1.PriorityLevelConfiguration{} },
		NewList: func() runtime.Object { return &flowcontrolv1.PriorityLevelConfigurationList{} },
		Default: rules.DefaultPriorityLevelConfiguration,
		PrepareCreate: func(_ context.Context, o *flowcontrolv1.PriorityLevelConfiguration) {
			o.Status = flowcontrolv1.PriorityLevelConfigurationStatus{}
		},
		PrepareUpdate: func(_ context.Context, o, old *flowcontrolv1.PriorityLevelConfiguration) { o.Status = old.Status },
		Generation: func(o, old *flowcontrolv1.PriorityLevelConfiguration) bool {
			return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec)
		},
		Validate: rules.ValidatePriorityLevelConfiguration,
		Columns:  rules.PriorityLevelConfigurationColumns(),
		Row:      rules.PriorityLevelConfigurationRow,
		Status: &kind.SubRules[*flowcontrolv1.PriorityLevelConfiguration]{
			Prepare: func(_ context.Context, o, old *flowcontrolv1.PriorityLevelConfiguration) {
				o.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(o, old)
			},
		},
	})
}
