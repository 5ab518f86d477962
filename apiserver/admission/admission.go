// Package admission is the last word on a write before it is stored: an ordered
// list of plugins, first all that change the object, then all that only judge it.
//
//	decode → default → Admit* (in list order) → validate → Validate* → store
//
// A plugin is one folder admission/<name>/ and one line in the list of
// admission/plugins. A refusal is an apierrors.StatusError; anything else is a 500.
package admission

import (
	"context"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/store"

	"k8s.io/apimachinery/pkg/runtime"
)

// Operation of a request, as webhooks name it.
type Operation string

const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// Attributes are what a plugin sees. Object is nil on DELETE, Old is nil on
// CREATE. Body is the payload of a subresource POST (binding, eviction, token),
// for which Object is nil and Old is the parent when it was read.
type Attributes struct {
	Kind        *kind.Kind
	Info        *request.Info
	User        *request.User
	Operation   Operation
	Subresource string
	Object, Old store.Object
	Body        runtime.Object
	DryRun      bool
}

// Plugin is a Mutator, a Validator or both.
type Plugin interface {
	Name() string
	Handles(*Attributes) bool
}

// Mutator may change Attributes.Object.
type Mutator interface {
	Plugin
	Admit(ctx context.Context, a *Attributes) error
}

// Validator may only refuse.
type Validator interface {
	Plugin
	Validate(ctx context.Context, a *Attributes) error
}

// Admit runs the mutators, Validate the validators, in list order.
func Admit(ctx context.Context, list []Plugin, a *Attributes) error {
	for _, p := range list {
		if m, ok := p.(Mutator); ok && p.Handles(a) {
			if err := m.Admit(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate asks every validator; the first refusal ends the request.
func Validate(ctx context.Context, list []Plugin, a *Attributes) error {
	for _, p := range list {
		if v, ok := p.(Validator); ok && p.Handles(a) {
			if err := v.Validate(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}
