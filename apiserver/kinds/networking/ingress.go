package networking

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/networking"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func ingress() *kind.Kind {
	return kind.New(kind.Spec[*networkingv1.Ingress]{
		Names: kind.Names{
			Group: "networking.k8s.io", Version: "v1", Kind: "Ingress", Plural: "ingresses", Singular: "ingress",
			ShortNames: []string{"ing"}, Namespaced: true,
		},
		New:            func() *networkingv1.Ingress { return &networkingv1.Ingress{} },
		Warnings:       warnings.Ingress,
		NewList:        func() runtime.Object { return &networkingv1.IngressList{} },
		Prefix:         "ingress",
		PrepareCreate:  func(_ context.Context, o *networkingv1.Ingress) { o.Status = networkingv1.IngressStatus{} },
		PrepareUpdate:  func(_ context.Context, o, old *networkingv1.Ingress) { o.Status = old.Status },
		Generation:     func(o, old *networkingv1.Ingress) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateIngress,
		ValidateUpdate: rules.ValidateIngressUpdate,
		Columns:        rules.IngressColumns(),
		Row:            rules.IngressRow,
		Status: &kind.SubRules[*networkingv1.Ingress]{
			Prepare:  func(_ context.Context, o, old *networkingv1.Ingress) { o.Spec = old.Spec },
			Validate: rules.ValidateIngressStatus,
		},
	})
}
