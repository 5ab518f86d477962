package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/storage"
	"hyperkube/apiserver/kind"
)

func volumeAttributesClass() *kind.Kind {
	return kind.New(kind.Spec[*storagev1.VolumeAttributesClass]{
		Names: kind.Names{
			Group: "storage.k8s.io", Version: "v1", Kind: "VolumeAttributesClass", Plural: "volumeattributesclasses", Singular: "volumeattributesclass",
			ShortNames: []string{"vac"},
		},
		New:            func() *storagev1.VolumeAttributesClass { return &storagev1.VolumeAttributesClass{} },
		NewList:        func() runtime.Object { return &storagev1.VolumeAttributesClassList{} },
		Validate:       rules.ValidateVolumeAttributesClass,
		ValidateUpdate: rules.ValidateVolumeAttributesClassUpdate,
		Columns:        rules.VolumeAttributesClassColumns(),
		Row:            rules.VolumeAttributesClassRow,
	})
}
