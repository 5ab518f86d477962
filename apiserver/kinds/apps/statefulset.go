package apps

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/apps"
	"hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func statefulSet() *kind.Kind {
	return kind.New(kind.Spec[*appsv1.StatefulSet]{
		Names:    names("StatefulSet", "statefulsets", "statefulset", "sts"),
		New:      func() *appsv1.StatefulSet { return &appsv1.StatefulSet{} },
		Warnings: warnings.StatefulSet,
		NewList:  func() runtime.Object { return &appsv1.StatefulSetList{} },
		Default:  rules.DefaultStatefulSet,
		PrepareCreate: func(_ context.Context, o *appsv1.StatefulSet) {
			o.Status = appsv1.StatefulSetStatus{}
			core.DropGatedTemplate(&o.Spec.Template, nil)
		},
		PrepareUpdate: func(_ context.Context, o, old *appsv1.StatefulSet) {
			o.Status = old.Status
			core.DropGatedTemplate(&o.Spec.Template, &old.Spec.Template)
		},
		Generation:     func(o, old *appsv1.StatefulSet) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateStatefulSet,
		ValidateUpdate: rules.ValidateStatefulSetUpdate,
		Columns:        rules.StatefulSetColumns(),
		Row:            rules.StatefulSetRow,
		Status: &kind.SubRules[*appsv1.StatefulSet]{
			Prepare:  func(_ context.Context, o, old *appsv1.StatefulSet) { o.Spec = old.Spec },
			Validate: rules.ValidateStatefulSetStatus,
		},
		Scale: &kind.ScaleRules[*appsv1.StatefulSet]{
			Get: func(o *appsv1.StatefulSet) (spec, status int32, selector string) {
				if o.Spec.Replicas != nil {
					spec = *o.Spec.Replicas
				}
				return spec, o.Status.Replicas, selectorText(o.Spec.Selector)
			},
			Set: func(o *appsv1.StatefulSet, n int32) { o.Spec.Replicas = &n },
		},
	})
}
