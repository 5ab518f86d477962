package kind

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/store"
)

// Kind is a Spec with its type erased: what the rest of the server works with.
// All functions are safe to call when the Spec left them out.
type Kind struct {
	Names
	Verbs                   []string
	Subresources            []Subresource
	Versions                []Version
	Columns                 []metav1.TableColumnDefinition
	FieldPaths              []string // selectable, metadata.name and metadata.namespace included
	HasGeneration           bool
	HasStatus, HasScale     bool
	AllowCreateOnUpdate     bool
	DenyUnconditionalUpdate bool
	ReturnDeleted           bool
	IsVirtual               bool
	Deprecated              string
	Resource                store.Resource

	New            func() store.Object
	NewList        func() runtime.Object
	Default        func(store.Object)
	PrepareCreate  func(ctx context.Context, obj store.Object)
	PrepareUpdate  func(ctx context.Context, obj, old store.Object)
	Generation     func(obj, old store.Object) bool
	Validate       func(obj store.Object) field.ErrorList
	ValidateUpdate func(obj, old store.Object) field.ErrorList
	ValidateName   func(name string, prefix bool) []string
	Warnings       func(obj, old store.Object) []string // old may be nil
	Field          func(obj store.Object, path string) (value string, known bool)
	Row            func(obj store.Object, now time.Time) []any
	GracefulDelete func(ctx context.Context, obj store.Object, o *metav1.DeleteOptions) bool
	Held           func(store.Object) bool // metadata.finalizers included
	Status         *AnyRules
	ScaleGet       func(store.Object) (spec, status int32, selector string)
	ScaleSet       func(obj store.Object, replicas int32)
	BeforeCreate   func(ctx context.Context, env Env, obj store.Object, dryRun bool) (func(bool), error)
	BeforeUpdate   func(ctx context.Context, env Env, obj, old store.Object, dryRun bool) (func(bool), error)
	AfterDelete    func(ctx context.Context, env Env, old store.Object)
	Virtual        func(ctx context.Context, env Env, obj store.Object, o CreateOptions) (store.Object, error)
}

// AnyRules are SubRules with the type erased.
type AnyRules struct {
	Prepare  func(ctx context.Context, obj, old store.Object)
	Validate func(obj, old store.Object) field.ErrorList
}

// RulesOf erases the type of r, for Subresource.Rules.
func RulesOf[T store.Object](r SubRules[T]) *AnyRules {
	return &AnyRules{
		Prepare: func(ctx context.Context, obj, old store.Object) {
			if r.Prepare != nil {
				r.Prepare(ctx, obj.(T), old.(T))
			}
		},
		Validate: func(obj, old store.Object) field.ErrorList {
			if r.Validate == nil {
				return nil
			}
			return r.Validate(obj.(T), old.(T))
		},
	}
}
