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

func flowSchema() *kind.Kind {
	return kind.New(kind.Spec[*flowcontrolv1.FlowSchema]{
		Names: kind.Names{
			Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "FlowSchema", Plural: "flowschemas", Singular: "flowschema",
		},
		New:           func() *flowcontrolv1.FlowSchema { return &flowcontrolv1.FlowSchema{} },
		NewList:       func() runtime.Object { return &flowcontrolv1.FlowSchemaList{} },
		Default:       rules.DefaultFlowSchema,
		PrepareCreate: func(_ context.Context, o *flowcontrolv1.FlowSchema) { o.Status = flowcontrolv1.FlowSchemaStatus{} },
		PrepareUpdate: func(_ context.Context, o, old *flowcontrolv1.FlowSchema) { o.Status = old.Status },
		Generation:    func(o, old *flowcontrolv1.FlowSchema) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:      rules.ValidateFlowSchema,
		Columns:       rules.FlowSchemaColumns(),
		Row:           rules.FlowSchemaRow,
		Status: &kind.SubRules[*flowcontrolv1.FlowSchema]{
			Prepare: func(_ context.Context, o, old *flowcontrolv1.FlowSchema) {
				o.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(o, old)
			},
		},
	})
}
