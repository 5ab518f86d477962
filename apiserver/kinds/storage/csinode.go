package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/storage"
	"hyperkube/apiserver/kind"
)

func csiNode() *kind.Kind {
	return kind.New(kind.Spec[*storagev1.CSINode]{
		Names: kind.Names{
			Group: "storage.k8s.io", Version: "v1", Kind: "CSINode", Plural: "csinodes", Singular: "csinode",
		},
		ReturnDeleted:  true,
		New:            func() *storagev1.CSINode { return &storagev1.CSINode{} },
		NewList:        func() runtime.Object { return &storagev1.CSINodeList{} },
		Validate:       rules.ValidateCSINode,
		ValidateUpdate: rules.ValidateCSINodeUpdate,
		Columns:        rules.CSINodeColumns(),
		Row:            rules.CSINodeRow,
	})
}
