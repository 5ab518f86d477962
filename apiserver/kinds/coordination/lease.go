package coordination

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/coordination"
	"hyperkube/apiserver/kind"
)

func lease() *kind.Kind {
	return kind.New(kind.Spec[*coordinationv1.Lease]{
		Names: kind.Names{
			Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Plural: "leases", Singular: "lease",
			Namespaced: true,
		},
		New:                 func() *coordinationv1.Lease { return &coordinationv1.Lease{} },
		NewList:             func() runtime.Object { return &coordinationv1.LeaseList{} },
		Validate:            rules.ValidateLease,
		AllowCreateOnUpdate: true,
		Columns:             rules.LeaseColumns(),
		Row:                 rules.LeaseRow,
	})
}
