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

func deployment() *kind.Kind {
	return kind.New(kind.Spec[*appsv1.Deployment]{
		Names:    names("Deployment", "deployments", "deployment", "deploy"),
		New:      func() *appsv1.Deployment { return &appsv1.Deployment{} },
		Warnings: warnings.Deployment,
		NewList:  func() runtime.Object { return &appsv1.DeploymentList{} },
		Default:  rules.DefaultDeployment,
		PrepareCreate: func(_ context.Context, o *appsv1.Deployment) {
			o.Status = appsv1.DeploymentStatus{}
			core.DropGatedTemplate(&o.Spec.Template, nil)
		},
		PrepareUpdate: func(_ context.Context, o, old *appsv1.Deployment) {
			o.Status = old.Status
			core.DropGatedTemplate(&o.Spec.Template, &old.Spec.Template)
		},
		Generation: func(o, old *appsv1.Deployment) bool {
			return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) || !apiequality.Semantic.DeepEqual(o.Annotations, old.Annotations)
		},
		Validate:       rules.ValidateDeployment,
		ValidateUpdate: rules.ValidateDeploymentUpdate,
		Columns:        rules.DeploymentColumns(),
		Row:            rules.DeploymentRow,
		Status: &kind.SubRules[*appsv1.Deployment]{
			Prepare:  func(_ context.Context, o, old *appsv1.Deployment) { o.Spec, o.Labels = old.Spec, old.Labels },
			Validate: rules.ValidateDeploymentStatus,
		},
		Scale: &kind.ScaleRules[*appsv1.Deployment]{
			Get: func(o *appsv1.Deployment) (spec, status int32, selector string) {
				if o.Spec.Replicas != nil {
					spec = *o.Spec.Replicas
				}
				return spec, o.Status.Replicas, selectorText(o.Spec.Selector)
			},
			Set: func(o *appsv1.Deployment, n int32) { o.Spec.Replicas = &n },
		},
	})
}
