package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func podTemplates() *kind.Kind {
	return kind.New(kind.Spec[*corev1.PodTemplate]{
		Names:         names("PodTemplate", "podtemplates", "podtemplate", true),
		ReturnDeleted: true,
		New:           func() *corev1.PodTemplate { return &corev1.PodTemplate{} },
		Warnings:      warnings.PodTemplate,
		NewList:       func() runtime.Object { return &corev1.PodTemplateList{} },
		Default:       rules.DefaultPodTemplateObject,
		PrepareCreate: fresh(func(t *corev1.PodTemplate) { rules.DropGatedTemplate(&t.Template, nil) }),
		PrepareUpdate: reset(func(t, old *corev1.PodTemplate) { rules.DropGatedTemplate(&t.Template, &old.Template) }),
		Generation:    rules.PodTemplateChanged,
		Validate:      rules.ValidatePodTemplateObject,
		Columns:       rules.PodTemplateColumns(),
		Row:           rules.PodTemplateRow,
	})
}
