package resource

import (
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/resource"
	"hyperkube/apiserver/kind"
)

func resourceClaimTemplate() *kind.Kind {
	return kind.New(kind.Spec[*resourcev1.ResourceClaimTemplate]{
		Names: kind.Names{
			Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaimTemplate", Plural: "resourceclaimtemplates", Singular: "resourceclaimtemplate",
			Namespaced: true,
		},
		ReturnDeleted:  true,
		New:            func() *resourcev1.ResourceClaimTemplate { return &resourcev1.ResourceClaimTemplate{} },
		NewList:        func() runtime.Object { return &resourcev1.ResourceClaimTemplateList{} },
		Default:        rules.DefaultResourceClaimTemplate,
		Validate:       rules.ValidateResourceClaimTemplate,
		ValidateUpdate: rules.ValidateResourceClaimTemplateUpdate,
		Columns:        rules.PlainColumns(),
		Row:            func(o *resourcev1.ResourceClaimTemplate, now time.Time) []any { return rules.PlainRow(o, now) },
	})
}
