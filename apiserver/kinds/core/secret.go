package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
)

func secrets() *kind.Kind {
	return kind.New(kind.Spec[*corev1.Secret]{
		Names:   names("Secret", "secrets", "secret", true),
		New:     func() *corev1.Secret { return &corev1.Secret{} },
		NewList: func() runtime.Object { return &corev1.SecretList{} },
		Default: rules.DefaultSecret,
		// A client may leave the type out of an update.
		PrepareUpdate: reset(func(s, old *corev1.Secret) {
			if s.Type == "" {
				s.Type = old.Type
			}
		}),
		Validate:       rules.ValidateSecret,
		ValidateUpdate: rules.ValidateSecretUpdate,
		Fields:         []kind.Field[*corev1.Secret]{{Path: "type", Value: func(s *corev1.Secret) string { return string(s.Type) }}},
		Columns:        rules.SecretColumns(),
		Row:            rules.SecretRow,
		Encrypted:      true,
	})
}
