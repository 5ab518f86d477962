package networking

import (
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/networking"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func networkPolicy() *kind.Kind {
	return kind.New(kind.Spec[*networkingv1.NetworkPolicy]{
		Names: kind.Names{
			Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy", Plural: "networkpolicies", Singular: "networkpolicy",
			ShortNames: []string{"netpol"}, Namespaced: true,
		},
		New:      func() *networkingv1.NetworkPolicy { return &networkingv1.NetworkPolicy{} },
		Warnings: warnings.NetworkPolicy,
		NewList:  func() runtime.Object { return &networkingv1.NetworkPolicyList{} },
		Default:  rules.DefaultNetworkPolicy,
		Generation: func(o, old *networkingv1.NetworkPolicy) bool {
			return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec)
		},
		Validate: rules.ValidateNetworkPolicy,
		Columns:  rules.NetworkPolicyColumns(),
		Row:      rules.NetworkPolicyRow,
	})
}
