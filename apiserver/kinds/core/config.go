package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
)

type fieldErrors = field.ErrorList

func configMaps() *kind.Kind {
	return kind.New(kind.Spec[*corev1.ConfigMap]{
		Names:          names("ConfigMap", "configmaps", "configmap", true, "cm"),
		New:            func() *corev1.ConfigMap { return &corev1.ConfigMap{} },
		NewList:        func() runtime.Object { return &corev1.ConfigMapList{} },
		Validate:       rules.ValidateConfigMap,
		ValidateUpdate: rules.ValidateConfigMapUpdate,
		Columns:        rules.ConfigMapColumns(),
		Row:            rules.ConfigMapRow,
	})
}
