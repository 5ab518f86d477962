package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
)

func endpoints() *kind.Kind {
	return kind.New(kind.Spec[*corev1.Endpoints]{
		Names:               names("Endpoints", "endpoints", "endpoints", true, "ep"),
		Prefix:              "services/endpoints",
		New:                 func() *corev1.Endpoints { return &corev1.Endpoints{} },
		Deprecated:          "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
		NewList:             func() runtime.Object { return &corev1.EndpointsList{} },
		Default:             rules.DefaultEndpoints,
		Validate:            rules.ValidateEndpoints,
		Columns:             rules.EndpointsColumns(),
		Row:                 rules.EndpointsRow,
		AllowCreateOnUpdate: true,
	})
}
