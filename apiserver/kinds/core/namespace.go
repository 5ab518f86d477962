package core

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
)

func namespaces() *kind.Kind {
	return kind.New(kind.Spec[*corev1.Namespace]{
		Names:   names("Namespace", "namespaces", "namespace", false, "ns"),
		New:     func() *corev1.Namespace { return &corev1.Namespace{} },
		NewList: func() runtime.Object { return &corev1.NamespaceList{} },
		// A namespace is emptied before it goes, so it cannot be deleted by list.
		Verbs:         []string{"create", "delete", "get", "list", "patch", "update", "watch"},
		Default:       rules.DefaultNamespace,
		PrepareCreate: fresh(rules.PrepareNamespace),
		PrepareUpdate: reset(func(n, old *corev1.Namespace) {
			n.Spec.Finalizers, n.Status = old.Spec.Finalizers, old.Status
		}),
		Validate:     rules.ValidateNamespace,
		ValidateName: kind.DNSLabel,
		GracefulDelete: func(_ context.Context, n *corev1.Namespace, o *metav1.DeleteOptions) bool {
			o.GracePeriodSeconds = nil
			n.Status.Phase = corev1.NamespaceTerminating
			return true
		},
		Held: func(n *corev1.Namespace) bool { return len(n.Spec.Finalizers) > 0 },
		Fields: []kind.Field[*corev1.Namespace]{
			{Path: "status.phase", Value: func(n *corev1.Namespace) string { return string(n.Status.Phase) }},
		},
		Columns: rules.NamespaceColumns(),
		Row:     rules.NamespaceRow,
		Status: &kind.SubRules[*corev1.Namespace]{
			Prepare:  reset(func(n, old *corev1.Namespace) { n.Spec = old.Spec }),
			Validate: rules.ValidateNamespaceStatusUpdate,
		},
		Subresources: []kind.Subresource{{Name: "finalize", GVK: gvk("Namespace"), Rules: kind.RulesOf(kind.SubRules[*corev1.Namespace]{
			Prepare:  reset(func(n, old *corev1.Namespace) { n.Status = old.Status }),
			Validate: func(n, _ *corev1.Namespace) fieldErrors { return rules.ValidateNamespace(n) },
		})}},
	})
}
