package discovery

import (
	"context"

	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/discovery"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func endpointSlice() *kind.Kind {
	return kind.New(kind.Spec[*discoveryv1.EndpointSlice]{
		Names: kind.Names{
			Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice", Plural: "endpointslices", Singular: "endpointslice",
			Namespaced: true,
		},
		New:      func() *discoveryv1.EndpointSlice { return &discoveryv1.EndpointSlice{} },
		Warnings: warnings.EndpointSlice,
		NewList:  func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		Default:  rules.DefaultEndpointSlice,
		PrepareCreate: func(_ context.Context, o *discoveryv1.EndpointSlice) {
			rules.DropTopology(o, nil)
		},
		PrepareUpdate: func(_ context.Context, o, old *discoveryv1.EndpointSlice) {
			rules.DropTopology(o, old)
		},
		Generation: func(o, old *discoveryv1.EndpointSlice) bool {
			return !apiequality.Semantic.DeepEqual(o.Endpoints, old.Endpoints) || !apiequality.Semantic.DeepEqual(o.Ports, old.Ports) ||
				!apiequality.Semantic.DeepEqual(o.Labels, old.Labels)
		},
		Validate:       rules.ValidateEndpointSlice,
		ValidateUpdate: rules.ValidateEndpointSliceUpdate,
		Columns:        rules.EndpointSliceColumns(),
		Row:            rules.EndpointSliceRow,
	})
}
