package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	rules "hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func persistentVolumes() *kind.Kind {
	return kind.New(kind.Spec[*corev1.PersistentVolume]{
		Names:         names("PersistentVolume", "persistentvolumes", "persistentvolume", false, "pv"),
		ReturnDeleted: true,
		New:           func() *corev1.PersistentVolume { return &corev1.PersistentVolume{} },
		Warnings:      warnings.PersistentVolume,
		NewList:       func() runtime.Object { return &corev1.PersistentVolumeList{} },
		Default:       rules.DefaultPersistentVolume,
		PrepareCreate: fresh(func(v *corev1.PersistentVolume) {
			v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending}
		}),
		PrepareUpdate:  reset(func(v, old *corev1.PersistentVolume) { v.Status = old.Status }),
		Validate:       rules.ValidatePersistentVolume,
		ValidateUpdate: rules.ValidatePersistentVolumeUpdate,
		Columns:        rules.PersistentVolumeColumns(),
		Row:            rules.PersistentVolumeRow,
		Status: &kind.SubRules[*corev1.PersistentVolume]{
			Prepare:  reset(func(v, old *corev1.PersistentVolume) { v.Spec = old.Spec }),
			Validate: func(_, _ *corev1.PersistentVolume) field.ErrorList { return nil },
		},
	})
}
