// Package apiextensions declares the kinds of apiextensions.k8s.io/v1. Custom
// resources themselves are not served yet, so a definition can be looked for,
// which clients do when they meet a kind they do not know, but not written.
package apiextensions

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/apiextensions"
	"hyperkube/apiserver/kind"
)

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		customResourceDefinition(),
	}
}

func customResourceDefinition() *kind.Kind {
	return kind.New(kind.Spec[*apiextensionsv1.CustomResourceDefinition]{
		Names: kind.Names{
			Group: apiextensionsv1.GroupName, Version: "v1", Kind: "CustomResourceDefinition",
			Plural: "customresourcedefinitions", Singular: "customresourcedefinition",
			ShortNames: []string{"crd", "crds"}, Categories: []string{"api-extensions"},
		},
		Prefix:  apiextensionsv1.GroupName + "/customresourcedefinitions",
		New:     func() *apiextensionsv1.CustomResourceDefinition { return &apiextensionsv1.CustomResourceDefinition{} },
		NewList: func() runtime.Object { return &apiextensionsv1.CustomResourceDefinitionList{} },
		Verbs:   []string{"get", "list", "watch"},
		Columns: rules.CustomResourceDefinitionColumns(),
		Row:     rules.CustomResourceDefinitionRow,
	})
}
