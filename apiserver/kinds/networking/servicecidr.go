package networking

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/networking"
	"hyperkube/apiserver/kind"
)

func serviceCIDR() *kind.Kind {
	return kind.New(kind.Spec[*networkingv1.ServiceCIDR]{
		Names: kind.Names{
			Group: "networking.k8s.io", Version: "v1", Kind: "ServiceCIDR", Plural: "servicecidrs", Singular: "servicecidr",
		},
		New:            func() *networkingv1.ServiceCIDR { return &networkingv1.ServiceCIDR{} },
		NewList:        func() runtime.Object { return &networkingv1.ServiceCIDRList{} },
		PrepareCreate:  func(_ context.Context, o *networkingv1.ServiceCIDR) { o.Status = networkingv1.ServiceCIDRStatus{} },
		PrepareUpdate:  func(_ context.Context, o, old *networkingv1.ServiceCIDR) { o.Status = old.Status },
		Validate:       rules.ValidateServiceCIDR,
		ValidateUpdate: rules.ValidateServiceCIDRUpdate,
		Columns:        rules.ServiceCIDRColumns(),
		Row:            rules.ServiceCIDRRow,
		Status: &kind.SubRules[*networkingv1.ServiceCIDR]{
			Prepare:  func(_ context.Context, o, old *networkingv1.ServiceCIDR) { o.Spec = old.Spec },
			Validate: rules.ValidateServiceCIDRStatus,
		},
	})
}
