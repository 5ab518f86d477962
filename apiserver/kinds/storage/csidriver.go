package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/storage"
	"hyperkube/apiserver/kind"
)

func csiDriver() *kind.Kind {
	return kind.New(kind.Spec[*storagev1.CSIDriver]{
		Names: kind.Names{
			Group: "storage.k8s.io", Version: "v1", Kind: "CSIDriver", Plural: "csidrivers", Singular: "csidriver",
		},
		ReturnDeleted:  true,
		New:            func() *storagev1.CSIDriver { return &storagev1.CSIDriver{} },
		NewList:        func() runtime.Object { return &storagev1.CSIDriverList{} },
		Default:        rules.DefaultCSIDriver,
		Generation:     func(o, old *storagev1.CSIDriver) bool { return !apiequality.Semantic.DeepEqual(o.Spec, old.Spec) },
		Validate:       rules.ValidateCSIDriver,
		ValidateUpdate: rules.ValidateCSIDriverUpdate,
		Columns:        rules.CSIDriverColumns(),
		Row:            rules.CSIDriverRow,
	})
}
