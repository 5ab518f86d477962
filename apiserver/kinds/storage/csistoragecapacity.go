package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/storage"
	"hyperkube/apiserver/kind"
)

func csiStorageCapacity() *kind.Kind {
	return kind.New(kind.Spec[*storagev1.CSIStorageCapacity]{
		Names: kind.Names{
			Group: "storage.k8s.io", Version: "v1", Kind: "CSIStorageCapacity", Plural: "csistoragecapacities", Singular: "csistoragecapacity",
			Namespaced: true,
		},
		New:            func() *storagev1.CSIStorageCapacity { return &storagev1.CSIStorageCapacity{} },
		NewList:        func() runtime.Object { return &storagev1.CSIStorageCapacityList{} },
		Validate:       rules.ValidateCSIStorageCapacity,
		ValidateUpdate: rules.ValidateCSIStorageCapacityUpdate,
		Columns:        rules.CSIStorageCapacityColumns(),
		Row:            rules.CSIStorageCapacityRow,
	})
}
