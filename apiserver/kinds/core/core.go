// Package core declares the kinds of the core group, one file a kind.
//
// A file holds a descriptor and what the kind does beyond pure rules (binding,
// eviction, tokens, addresses); the rules themselves lie in api/core. Adding a
// kind is one file here and one line in Kinds.
package core

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/kind"
)

// Kinds lists the group in the order discovery shows it. events are the further
// versions under which events are served (events.k8s.io/v1).
func Kinds(events ...kind.Version) []*kind.Kind {
	return []*kind.Kind{
		bindings(),
		configMaps(),
		endpoints(),
		eventsKind(events),
		limitRanges(),
		namespaces(),
		nodes(),
		persistentVolumeClaims(),
		persistentVolumes(),
		pods(),
		podTemplates(),
		replicationControllers(),
		resourceQuotas(),
		secrets(),
		serviceAccounts(),
		services(),
	}
}

// names are a core/v1 kind's names; short names follow.
func names(k, plural, singular string, namespaced bool, short ...string) kind.Names {
	return kind.Names{Version: "v1", Kind: k, Plural: plural, Singular: singular, Namespaced: namespaced, ShortNames: short}
}

func gvk(k string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Version: "v1", Kind: k}
}

// connect is a subresource served by apiserver/connect.
func connect(name, options string, verbs ...string) kind.Subresource {
	return kind.Subresource{Name: name, GVK: gvk(options), Connect: verbs}
}

// connectAs also needs the verb create, however the client connects (AuthorizePodWebsocketUpgradeCreatePermission).
func connectAs(name, options string, verbs ...string) kind.Subresource {
	s := connect(name, options, verbs...)
	s.Needs = "create"
	return s
}

// success is what subresources without an answer of their own return.
func success() *metav1.Status {
	return &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess, Code: 201}
}

// reset adapts a pure (obj, old) rule to the descriptor's signature.
func reset[T any](f func(obj, old T)) func(context.Context, T, T) {
	return func(_ context.Context, obj, old T) { f(obj, old) }
}

// fresh adapts a pure (obj) rule.
func fresh[T any](f func(T)) func(context.Context, T) {
	return func(_ context.Context, obj T) { f(obj) }
}

func newBinding() runtime.Object { return &corev1.Binding{} }
