package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
)

func limitRanges() *kind.Kind {
	return kind.New(kind.Spec[*corev1.LimitRange]{
		Names:    names("LimitRange", "limitranges", "limitrange", true, "limits"),
		New:      func() *corev1.LimitRange { return &corev1.LimitRange{} },
		NewList:  func() runtime.Object { return &corev1.LimitRangeList{} },
		Default:  rules.DefaultLimitRange,
		Validate: rules.ValidateLimitRange,
		Columns:  rules.LimitRangeColumns(),
		Row:      rules.LimitRangeRow,
	})
}
