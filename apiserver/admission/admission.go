// Package admission is the last word on a write before it is stored: an ordered
// list of plugins, first all that change the object, then all that only judge it.
//
//	decode → default → Admit* (in list order) → validate → Validate* → Charge* → store
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

// Plugin is a Mutator, a Validator, a Charger or several of them.
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

// Charger takes what a write needs from a stock (a quota) before it is stored, and
// gives it back when it was not. It is asked last, and never inside a transaction
// of the store, which may begin again.
type Charger interface {
	Plugin
	// Bill names what the write takes, "" for nothing. It only reads. Equal bills of
	// one object are equal charges.
	Bill(ctx context.Context, a *Attributes) (string, error)
	// Charge takes it, unless it is a dry run, or refuses. done must be called once.
	Charge(ctx context.Context, a *Attributes) (done func(held bool), err error)
}

// Bill asks every charger, Charge charges; when one refuses, nothing is charged.
func Bill(ctx context.Context, list []Plugin, a *Attributes) (string, error) {
	all := ""
	for _, p := range list {
		if c, ok := p.(Charger); ok && p.Handles(a) {
			bill, err := c.Bill(ctx, a)
			if err != nil {
				return "", err
			}
			all += bill
		}
	}
	return all, nil
}

// Charge is described at Bill.
func Charge(ctx context.Context, list []Plugin, a *Attributes) (func(held bool), error) {
	var charged []func(bool)
	settle := func(held bool) {
		for _, done := range charged {
			done(held)
		}
	}
	for _, p := range list {
		if c, ok := p.(Charger); ok && p.Handles(a) {
			done, err := c.Charge(ctx, a)
			if err != nil {
				settle(false)
				return nil, err
			}
			charged = append(charged, done)
		}
	}
	return settle, nil
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
