package resource

import (
	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/resource"
	"hyperkube/apiserver/kind"
)

func resourceSlice() *kind.Kind {
	return kind.New(kind.Spec[*resourcev1.ResourceSlice]{
		Names: kind.Names{
			Group: "resource.k8s.io", Version: "v1", Kind: "ResourceSlice", Plural: "resourceslices", Singular: "resourceslice",
		},
		ReturnDeleted:  true,
		New:            func() *resourcev1.ResourceSlice { return &resourcev1.ResourceSlice{} },
		NewList:        func() runtime.Object { return &resourcev1.ResourceSliceList{} },
		Generation:     func(o, old *resourcev1.ResourceSlice) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateResourceSlice,
		ValidateUpdate: rules.ValidateResourceSliceUpdate,
		Columns:        rules.ResourceSliceColumns(),
		Row:            rules.ResourceSliceRow,
		Fields: []kind.Field[*resourcev1.ResourceSlice]{
			{Path: "spec.nodeName", Value: nodeOf, Indexed: true},
			{Path: "spec.driver", Value: func(o *resourcev1.ResourceSlice) string { return o.Spec.Driver }},
		},
	})
}

func nodeOf(o *resourcev1.ResourceSlice) string {
	if o.Spec.NodeName == nil {
		return ""
	}
	return *o.Spec.NodeName
}
