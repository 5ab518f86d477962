package kind

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/warnings"
	"hyperkube/store"
)

// AllVerbs are served when a Spec names none.
var allVerbs = [...]string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

// New erases the type of a Spec.
func New[T store.Object](s Spec[T]) *Kind {
	k := &Kind{
		Names: s.Names, Verbs: s.Verbs, Subresources: s.Subresources, Versions: s.Versions,
		Columns: s.Columns, HasGeneration: s.Generation != nil, HasStatus: s.Status != nil, HasScale: s.Scale != nil,
		AllowCreateOnUpdate: s.AllowCreateOnUpdate, DenyUnconditionalUpdate: s.DenyUnconditionalUpdate,
		ReturnDeleted: s.ReturnDeleted, Deprecated: s.Deprecated, IsVirtual: s.Virtual != nil, NewList: s.NewList,
		New: func() store.Object { return s.New() },
	}
	if k.Verbs == nil {
		k.Verbs = allVerbs[:]
		if k.IsVirtual {
			k.Verbs = []string{"create"}
		}
	}
	eraseRules(k, s)
	eraseFields(k, s)
	eraseHooks(k, s)
	prefix := s.Prefix
	if prefix == "" {
		prefix = s.Plural
	}
	k.Resource = store.Resource{
		Group: s.Group, Name: s.Plural, Prefix: prefix, Namespaced: s.Namespaced, GVK: s.GVK(),
		New: k.New, TTLSeconds: s.TTLSeconds, Encrypted: s.Encrypted,
	}
	if s.Default != nil {
		k.Resource.Default = k.Default
	}
	for _, f := range s.Fields {
		if f.Indexed {
			k.Resource.Indexes = append(k.Resource.Indexes, store.Index{
				Name: f.Path, Value: func(o store.Object) string { return f.Value(o.(T)) },
			})
		}
	}
	return k
}

func eraseRules[T store.Object](k *Kind, s Spec[T]) {
	k.Default = func(o store.Object) {
		if s.Default != nil {
			s.Default(o.(T))
		}
	}
	k.PrepareCreate = func(ctx context.Context, o store.Object) {
		if s.PrepareCreate != nil {
			s.PrepareCreate(ctx, o.(T))
		}
	}
	k.PrepareUpdate = func(ctx context.Context, o, old store.Object) {
		if s.PrepareUpdate != nil {
			s.PrepareUpdate(ctx, o.(T), old.(T))
		}
	}
	k.Generation = func(o, old store.Object) bool { return s.Generation != nil && s.Generation(o.(T), old.(T)) }
	k.Validate = func(o store.Object) field.ErrorList {
		if s.Validate == nil {
			return nil
		}
		return s.Validate(o.(T))
	}
	k.ValidateUpdate = func(o, old store.Object) field.ErrorList {
		if s.ValidateUpdate == nil {
			return k.Validate(o)
		}
		return s.ValidateUpdate(o.(T), old.(T))
	}
	k.ValidateName = s.ValidateName
	if k.ValidateName == nil {
		k.ValidateName = DNSSubdomain
	}
	k.Warnings = func(o, old store.Object) []string {
		out := warnings.Meta(o, old)
		if s.Warnings != nil {
			prev, _ := old.(T)
			out = append(out, s.Warnings(o.(T), prev)...)
		}
		return out
	}
	k.GracefulDelete = func(ctx context.Context, o store.Object, opts *metav1.DeleteOptions) bool {
		return s.GracefulDelete != nil && s.GracefulDelete(ctx, o.(T), opts)
	}
	k.Held = func(o store.Object) bool {
		return len(o.GetFinalizers()) > 0 || s.Held != nil && s.Held(o.(T))
	}
	if s.Status != nil {
		k.Status = RulesOf(*s.Status)
	}
	if s.Scale != nil {
		k.ScaleGet = func(o store.Object) (int32, int32, string) { return s.Scale.Get(o.(T)) }
		k.ScaleSet = func(o store.Object, n int32) { s.Scale.Set(o.(T), n) }
	}
}

func eraseFields[T store.Object](k *Kind, s Spec[T]) {
	k.FieldPaths = []string{"metadata.name"}
	if s.Namespaced {
		k.FieldPaths = append(k.FieldPaths, "metadata.namespace")
	}
	for _, f := range s.Fields {
		k.FieldPaths = append(k.FieldPaths, f.Path)
	}
	k.Field = func(o store.Object, path string) (string, bool) {
		switch path {
		case "metadata.name":
			return o.GetName(), true
		case "metadata.namespace":
			return o.GetNamespace(), s.Namespaced
		}
		for _, f := range s.Fields {
			if f.Path == path {
				return f.Value(o.(T)), true
			}
		}
		return "", false
	}
	if s.Row != nil {
		k.Row = func(o store.Object, now time.Time) []any { return s.Row(o.(T), now) }
	}
}

func eraseHooks[T store.Object](k *Kind, s Spec[T]) {
	nothing := func(bool) {}
	k.BeforeCreate = func(ctx context.Context, env Env, o store.Object, dry bool) (func(bool), error) {
		if s.Hooks.BeforeCreate == nil {
			return nothing, nil
		}
		return s.Hooks.BeforeCreate(ctx, env, o.(T), dry)
	}
	k.BeforeUpdate = func(ctx context.Context, env Env, o, old store.Object, dry bool) (func(bool), error) {
		if s.Hooks.BeforeUpdate == nil {
			return nothing, nil
		}
		return s.Hooks.BeforeUpdate(ctx, env, o.(T), old.(T), dry)
	}
	k.AfterDelete = func(ctx context.Context, env Env, old store.Object) {
		if s.Hooks.AfterDelete != nil {
			s.Hooks.AfterDelete(ctx, env, old.(T))
		}
	}
	if s.Virtual != nil {
		k.Virtual = func(ctx context.Context, env Env, obj store.Object, o CreateOptions) (store.Object, error) {
			return s.Virtual(ctx, env, obj.(T), o)
		}
	}
}

// DNSSubdomain is the usual rule for metadata.name (RFC 1123). prefix is true
// for a generateName, whose trailing dash is fine.
func DNSSubdomain(name string, prefix bool) []string {
	return validation.IsDNS1123Subdomain(maskDash(name, prefix))
}

// DNSLabel is the rule for names that become one DNS label (namespaces, services).
func DNSLabel(name string, prefix bool) []string {
	return validation.IsDNS1123Label(maskDash(name, prefix))
}

func maskDash(name string, prefix bool) string {
	if prefix && len(name) > 1 && name[len(name)-1] == '-' {
		return name[:len(name)-1] + "a"
	}
	return name
}
