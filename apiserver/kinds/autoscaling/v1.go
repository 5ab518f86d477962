package autoscaling

import (
	"fmt"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/autoscaling"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// versionOne serves the stored v2 objects as autoscaling/v1, which kubectl
// before 1.33 creates.
func versionOne() kind.Version {
	return kind.Version{
		Names: kind.Names{
			Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler", Plural: "horizontalpodautoscalers", Singular: "horizontalpodautoscaler",
			ShortNames: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
		},
		New:     func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscaler{} },
		NewList: func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscalerList{} },
		To: func(stored store.Object) (runtime.Object, error) {
			h, ok := stored.(*autoscalingv2.HorizontalPodAutoscaler)
			if !ok {
				return nil, fmt.Errorf("converting %T to an autoscaling/v1 autoscaler", stored)
			}
			return rules.ToV1(h)
		},
		From: func(served runtime.Object) (store.Object, error) {
			h, ok := served.(*autoscalingv1.HorizontalPodAutoscaler)
			if !ok {
				return nil, fmt.Errorf("converting %T from an autoscaling/v1 autoscaler", served)
			}
			return rules.FromV1(h)
		},
		Columns: rules.HorizontalPodAutoscalerColumns(),
		Row: func(o store.Object, now time.Time) []any {
			return rules.HorizontalPodAutoscalerRow(o.(*autoscalingv2.HorizontalPodAutoscaler), now)
		},
	}
}
