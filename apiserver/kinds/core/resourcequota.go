package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
)

func resourceQuotas() *kind.Kind {
	return kind.New(kind.Spec[*corev1.ResourceQuota]{
		Names:          names("ResourceQuota", "resourcequotas", "resourcequota", true, "quota"),
		ReturnDeleted:  true,
		New:            func() *corev1.ResourceQuota { return &corev1.ResourceQuota{} },
		NewList:        func() runtime.Object { return &corev1.ResourceQuotaList{} },
		PrepareCreate:  fresh(func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} }),
		PrepareUpdate:  reset(func(q, old *corev1.ResourceQuota) { q.Status = old.Status }),
		Validate:       rules.ValidateResourceQuota,
		ValidateUpdate: rules.ValidateResourceQuotaUpdate,
		Columns:        rules.ResourceQuotaColumns(),
		Row:            rules.ResourceQuotaRow,
		Status: &kind.SubRules[*corev1.ResourceQuota]{
			Prepare:  reset(func(q, old *corev1.ResourceQuota) { q.Spec = old.Spec }),
			Validate: rules.ValidateResourceQuotaStatus,
		},
	})
}
