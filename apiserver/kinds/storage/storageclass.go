package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/storage"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func storageClass() *kind.Kind {
	return kind.New(kind.Spec[*storagev1.StorageClass]{
		Names: kind.Names{
			Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass", Plural: "storageclasses", Singular: "storageclass",
			ShortNames: []string{"sc"},
		},
		ReturnDeleted:  true,
		New:            func() *storagev1.StorageClass { return &storagev1.StorageClass{} },
		Warnings:       warnings.StorageClass,
		NewList:        func() runtime.Object { return &storagev1.StorageClassList{} },
		Default:        rules.DefaultStorageClass,
		Validate:       rules.ValidateStorageClass,
		ValidateUpdate: rules.ValidateStorageClassUpdate,
		Columns:        rules.StorageClassColumns(),
		Row:            rules.StorageClassRow,
	})
}
