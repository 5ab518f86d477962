package admission

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"hyperkube/store"
)

// Find reads an object for a plugin. The snapshot at hand answers; only absence
// is confirmed with a read that is as new as etcd. found is false for what does
// not exist. The object is shared and read-only.
func Find[T store.Object](ctx context.Context, r store.Reader, group, resource string, key store.Key) (obj T, found bool, err error) {
	obj, found, err = FindAt[T](ctx, r, group, resource, key, store.Freshness{Any: true})
	if err == nil && !found {
		return FindAt[T](ctx, r, group, resource, key, store.Freshness{})
	}
	return obj, found, err
}

// FindAt reads an object as it was no earlier than f says.
func FindAt[T store.Object](ctx context.Context, r store.Reader, group, resource string, key store.Key, f store.Freshness) (obj T, found bool, err error) {
	c, ok := r.Collection(group, resource)
	if !ok {
		return obj, false, nil
	}
	e, err := c.Get(ctx, key, f)
	if errors.Is(err, store.ErrNotFound) {
		return obj, false, nil
	}
	if err != nil {
		return obj, false, fmt.Errorf("looking up %s %s: %w", resource, key.Name, err)
	}
	obj, found = e.Object.(T)
	return obj, found, nil
}

// All lists objects for a plugin, of one namespace or ("") all. A resource that
// is not served has none.
func All[T store.Object](ctx context.Context, r store.Reader, group, resource, namespace string) ([]T, error) {
	c, ok := r.Collection(group, resource)
	if !ok {
		return nil, nil
	}
	l, err := c.List(ctx, store.ListOptions{Filter: store.Filter{Namespace: namespace}, Freshness: store.Freshness{Any: true}})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", resource, err)
	}
	var out []T
	for e := range l.Entries {
		if o, ok := e.Object.(T); ok {
			out = append(out, o)
		}
	}
	return out, nil
}

// Forbid is the 403 of a plugin.
func Forbid(a *Attributes, format string, args ...any) error {
	return apierrors.NewForbidden(a.Info.GVR().GroupResource(), a.Name(), fmt.Errorf(format, args...))
}

// Name of the object in question. A new object's name is known before admission.
func (a *Attributes) Name() string {
	switch {
	case a.Object != nil && a.Object.GetName() != "":
		return a.Object.GetName()
	case a.Old != nil:
		return a.Old.GetName()
	}
	return a.Info.Name
}

// Namespace of the object in question; empty for cluster scope.
func (a *Attributes) Namespace() string {
	if a.Kind != nil && !a.Kind.Namespaced {
		return ""
	}
	if a.Object != nil && a.Object.GetNamespace() != "" {
		return a.Object.GetNamespace()
	}
	return a.Info.Namespace
}

// Is reports whether the request is about the resource itself (no subresource).
func (a *Attributes) Is(group, resource string) bool {
	return a.Info.Group == group && a.Info.Resource == resource && a.Subresource == ""
}
