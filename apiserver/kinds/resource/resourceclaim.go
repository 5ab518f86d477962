package resource

import (
	"context"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/resource"
	"hyperkube/apiserver/kind"
)

func resourceClaim() *kind.Kind {
	return kind.New(kind.Spec[*resourcev1.ResourceClaim]{
		Names: kind.Names{
			Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaim", Plural: "resourceclaims", Singular: "resourceclaim",
			Namespaced: true,
		},
		ReturnDeleted:  true,
		New:            func() *resourcev1.ResourceClaim { return &resourcev1.ResourceClaim{} },
		NewList:        func() runtime.Object { return &resourcev1.ResourceClaimList{} },
		PrepareCreate:  func(_ context.Context, o *resourcev1.ResourceClaim) { o.Status = resourcev1.ResourceClaimStatus{} },
		PrepareUpdate:  func(_ context.Context, o, old *resourcev1.ResourceClaim) { o.Status = old.Status },
		Default:        rules.DefaultResourceClaim,
		Validate:       rules.ValidateResourceClaim,
		ValidateUpdate: rules.ValidateResourceClaimUpdate,
		Columns:        rules.ResourceClaimColumns(),
		Row:            rules.ResourceClaimRow,
		Status: &kind.SubRules[*resourcev1.ResourceClaim]{
			Prepare: func(_ context.Context, o, old *resourcev1.ResourceClaim) {
				o.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(o, old)
			},
			Validate: rules.ValidateResourceClaimStatus,
		},
	})
}
