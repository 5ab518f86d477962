package storage

import (
	"context"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/storage"
	"hyperkube/apiserver/kind"
)

func volumeAttachment() *kind.Kind {
	return kind.New(kind.Spec[*storagev1.VolumeAttachment]{
		Names: kind.Names{
			Group: "storage.k8s.io", Version: "v1", Kind: "VolumeAttachment", Plural: "volumeattachments", Singular: "volumeattachment",
		},
		ReturnDeleted:  true,
		New:            func() *storagev1.VolumeAttachment { return &storagev1.VolumeAttachment{} },
		NewList:        func() runtime.Object { return &storagev1.VolumeAttachmentList{} },
		PrepareCreate:  func(_ context.Context, o *storagev1.VolumeAttachment) { o.Status = storagev1.VolumeAttachmentStatus{} },
		PrepareUpdate:  func(_ context.Context, o, old *storagev1.VolumeAttachment) { o.Status = old.Status },
		Validate:       rules.ValidateVolumeAttachment,
		ValidateUpdate: rules.ValidateVolumeAttachmentUpdate,
		Columns:        rules.VolumeAttachmentColumns(),
		Row:            rules.VolumeAttachmentRow,
		Status: &kind.SubRules[*storagev1.VolumeAttachment]{
			Prepare: func(_ context.Context, o, old *storagev1.VolumeAttachment) {
				o.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(o, old)
			},
			Validate: rules.ValidateVolumeAttachmentStatus,
		},
	})
}
