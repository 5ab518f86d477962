package networking

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/networking"
	"hyperkube/apiserver/kind"
)

func ipAddress() *kind.Kind {
	return kind.New(kind.Spec[*networkingv1.IPAddress]{
		Names: kind.Names{
			Group: "networking.k8s.io", Version: "v1", Kind: "IPAddress", Plural: "ipaddresses", Singular: "ipaddress",
			ShortNames: []string{"ip"},
		},
		New:            func() *networkingv1.IPAddress { return &networkingv1.IPAddress{} },
		NewList:        func() runtime.Object { return &networkingv1.IPAddressList{} },
		Validate:       rules.ValidateIPAddress,
		ValidateUpdate: rules.ValidateIPAddressUpdate,
		ValidateName:   rules.IPAddressName,
		Columns:        rules.IPAddressColumns(),
		Row:            rules.IPAddressRow,
		Fields: []kind.Field[*networkingv1.IPAddress]{
			{Path: "spec.parentRef.name", Value: func(o *networkingv1.IPAddress) string { return parent(o).Name }},
		},
	})
}

func parent(o *networkingv1.IPAddress) networkingv1.ParentReference {
	if o.Spec.ParentRef == nil {
		return networkingv1.ParentReference{}
	}
	return *o.Spec.ParentRef
}
