package node

import (
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/node"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func runtimeClass() *kind.Kind {
	return kind.New(kind.Spec[*nodev1.RuntimeClass]{
		Names: kind.Names{
			Group: "node.k8s.io", Version: "v1", Kind: "RuntimeClass", Plural: "runtimeclasses", Singular: "runtimeclass",
		},
		New:            func() *nodev1.RuntimeClass { return &nodev1.RuntimeClass{} },
		Warnings:       warnings.RuntimeClass,
		NewList:        func() runtime.Object { return &nodev1.RuntimeClassList{} },
		Default:        rules.DefaultRuntimeClass,
		Validate:       rules.ValidateRuntimeClass,
		ValidateUpdate: rules.ValidateRuntimeClassUpdate,
		Columns:        rules.RuntimeClassColumns(),
		Row:            rules.RuntimeClassRow,
	})
}
