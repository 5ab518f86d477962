package core

import (
	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/kind"
)

func serviceHooks() kind.Hooks[*corev1.Service] { return kind.Hooks[*corev1.Service]{} }
