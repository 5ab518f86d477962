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

func daemonSet() *kind.Kind {
	return kind.New(kind.Spec[*appsv1.DaemonSet]{
		Names:    names("DaemonSet", "daemonsets", "daemonset", "ds"),
		New:      func() *appsv1.DaemonSet { return &appsv1.DaemonSet{} },
		Warnings: warnings.DaemonSet,
		NewList:  func() runtime.Object { return &appsv1.DaemonSetList{} },
		Default:  rules.DefaultDaemonSet,
		PrepareCreate: func(_ context.Context, o *appsv1.DaemonSet) {
			o.Status = appsv1.DaemonSetStatus{}
			core.DropGatedTemplate(&o.Spec.Template, nil)
		},
		PrepareUpdate: func(_ context.Context, o, old *appsv1.DaemonSet) {
			o.Status = old.Status
			core.DropGatedTemplate(&o.Spec.Template, &old.Spec.Template)
		},
		Generation:     func(o, old *appsv1.DaemonSet) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateDaemonSet,
		ValidateUpdate: rules.ValidateDaemonSetUpdate,
		Columns:        rules.DaemonSetColumns(),
		Row:            rules.DaemonSetRow,
		Status: &kind.SubRules[*appsv1.DaemonSet]{
			Prepare:  func(_ context.Context, o, old *appsv1.DaemonSet) { o.Spec = old.Spec },
			Validate: rules.ValidateDaemonSetStatus,
		},
	})
}
