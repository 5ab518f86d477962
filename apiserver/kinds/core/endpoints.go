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
		NewList:             func() runtime.Object { return &corev1.EndpointsList{} },
		Default:             rules.DefaultEndpoints,
		Validate:            rules.ValidateEndpoints,
		Columns:             rules.EndpointsColumns(),
		Row:                 rules.EndpointsRow,
		AllowCreateOnUpdate: true,
	})
}
