package apps

import (
	"context"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/apps"
	"hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func replicaSet() *kind.Kind {
	return kind.New(kind.Spec[*appsv1.ReplicaSet]{
		Names:    names("ReplicaSet", "replicasets", "replicaset", "rs"),
		New:      func() *appsv1.ReplicaSet { return &appsv1.ReplicaSet{} },
		Warnings: warnings.ReplicaSet,
		NewList:  func() runtime.Object { return &appsv1.ReplicaSetList{} },
		Default:  rules.DefaultReplicaSet,
		PrepareCreate: func(_ context.Context, o *appsv1.ReplicaSet) {
			o.Status = appsv1.ReplicaSetStatus{}
			core.DropGatedTemplate(&o.Spec.Template, nil)
		},
		PrepareUpdate: func(_ context.Context, o, old *appsv1.ReplicaSet) {
			o.Status = old.Status
			core.DropGatedTemplate(&o.Spec.Template, &old.Spec.Template)
		},
		Generation:     func(o, old *appsv1.ReplicaSet) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateReplicaSet,
		ValidateUpdate: rules.ValidateReplicaSetUpdate,
		Fields: []kind.Field[*appsv1.ReplicaSet]{
			{Path: "status.replicas", Value: func(o *appsv1.ReplicaSet) string { return strconv.Itoa(int(o.Status.Replicas)) }},
		},
		Columns: rules.ReplicaSetColumns(),
		Row:     rules.ReplicaSetRow,
		Status: &kind.SubRules[*appsv1.ReplicaSet]{
			Prepare:  func(_ context.Context, o, old *appsv1.ReplicaSet) { o.Spec = old.Spec },
			Validate: rules.ValidateReplicaSetStatus,
		},
		Scale: &kind.ScaleRules[*appsv1.ReplicaSet]{
			Get: func(o *appsv1.ReplicaSet) (spec, status int32, selector string) {
				if o.Spec.Replicas != nil {
					spec = *o.Spec.Replicas
				}
				return spec, o.Status.Replicas, selectorText(o.Spec.Selector)
			},
			Set: func(o *appsv1.ReplicaSet, n int32) { o.Spec.Replicas = &n },
		},
	})
}
