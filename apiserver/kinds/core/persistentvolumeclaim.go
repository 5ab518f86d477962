package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func persistentVolumeClaims() *kind.Kind {
	return kind.New(kind.Spec[*corev1.PersistentVolumeClaim]{
		Names:         names("PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim", true, "pvc"),
		ReturnDeleted: true,
		New:           func() *corev1.PersistentVolumeClaim { return &corev1.PersistentVolumeClaim{} },
		Warnings:      warnings.Claim,
		NewList:       func() runtime.Object { return &corev1.PersistentVolumeClaimList{} },
		Default:       rules.DefaultPersistentVolumeClaim,
		PrepareCreate: fresh(func(c *corev1.PersistentVolumeClaim) {
			c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
			rules.NormalizeDataSource(&c.Spec)
		}),
		PrepareUpdate: reset(func(c, old *corev1.PersistentVolumeClaim) {
			c.Status = old.Status
			rules.NormalizeDataSource(&c.Spec)
		}),
		Validate:       rules.ValidatePersistentVolumeClaim,
		ValidateUpdate: rules.ValidatePersistentVolumeClaimUpdate,
		Columns:        rules.PersistentVolumeClaimColumns(),
		Row:            rules.PersistentVolumeClaimRow,
		Status: &kind.SubRules[*corev1.PersistentVolumeClaim]{
			Prepare:  reset(func(c, old *corev1.PersistentVolumeClaim) { c.Spec = old.Spec }),
			Validate: rules.ValidatePersistentVolumeClaimStatusUpdate,
		},
	})
}
