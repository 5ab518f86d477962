package networking

import (
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/networking"
	"hyperkube/apiserver/kind"
)

func ingressClass() *kind.Kind {
	return kind.New(kind.Spec[*networkingv1.IngressClass]{
		Names: kind.Names{
			Group: "networking.k8s.io", Version: "v1", Kind: "IngressClass", Plural: "ingressclasses", Singular: "ingressclass",
		},
		New:            func() *networkingv1.IngressClass { return &networkingv1.IngressClass{} },
		NewList:        func() runtime.Object { return &networkingv1.IngressClassList{} },
		Default:        rules.DefaultIngressClass,
		Generation:     func(o, old *networkingv1.IngressClass) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateIngressClass,
		ValidateUpdate: rules.ValidateIngressClassUpdate,
		Columns:        rules.IngressClassColumns(),
		Row:            rules.IngressClassRow,
	})
}
