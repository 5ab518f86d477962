package autoscaling

import (
	"context"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/autoscaling"
	"hyperkube/apiserver/kind"
)

func horizontalPodAutoscaler() *kind.Kind {
	return kind.New(kind.Spec[*autoscalingv2.HorizontalPodAutoscaler]{
		Names: kind.Names{
			Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler", Plural: "horizontalpodautoscalers", Singular: "horizontalpodautoscaler",
			ShortNames: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
		},
		New:     func() *autoscalingv2.HorizontalPodAutoscaler { return &autoscalingv2.HorizontalPodAutoscaler{} },
		NewList: func() runtime.Object { return &autoscalingv2.HorizontalPodAutoscalerList{} },
		Default: rules.DefaultHorizontalPodAutoscaler,
		PrepareCreate: func(_ context.Context, o *autoscalingv2.HorizontalPodAutoscaler) {
			o.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
		},
		PrepareUpdate: func(_ context.Context, o, old *autoscalingv2.HorizontalPodAutoscaler) { o.Status = old.Status },
		Generation: func(o, old *autoscalingv2.HorizontalPodAutoscaler) bool {
			return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec)
		},
		Validate: rules.ValidateHorizontalPodAutoscaler,
		Columns:  rules.HorizontalPodAutoscalerColumns(),
		Row:      rules.HorizontalPodAutoscalerRow,
		Status: &kind.SubRules[*autoscalingv2.HorizontalPodAutoscaler]{
			Prepare:  func(_ context.Context, o, old *autoscalingv2.HorizontalPodAutoscaler) { o.Spec = old.Spec },
			Validate: rules.ValidateHorizontalPodAutoscalerStatus,
		},
		Versions: []kind.Version{versionOne()},
	})
}
