package apply

import (
	"fmt"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// converter moves objects of one kind between its versions, as the library asks.
type converter struct{ k *kind.Kind }

// ConvertToVersion gives in as target. The result shares what in points to.
func (c converter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gv, ok := target.(schema.GroupVersion)
	if !ok {
		return nil, fmt.Errorf("converting %T: no single target version", in)
	}
	if u, ok := in.(*unstructured.Unstructured); ok {
		typed, err := c.typed(u)
		if err != nil {
			return nil, err
		}
		in = typed
	}
	stored, err := c.stored(in)
	if err != nil {
		return nil, err
	}
	if gv == c.k.GVK().GroupVersion() {
		return withKind(stored, c.k.GVK()), nil
	}
	for _, v := range c.k.Versions {
		if gv.Group == v.Group && gv.Version == v.Version {
			out, err := v.To(stored)
			if err != nil {
				return nil, err
			}
			out.GetObjectKind().SetGroupVersionKind(v.GVK())
			return out, nil
		}
	}
	return nil, runtime.NewNotRegisteredErrForKind("apply", gv.WithKind(c.k.Kind))
}

func (c converter) typed(u *unstructured.Unstructured) (runtime.Object, error) {
	out, err := c.New(u.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil, fmt.Errorf("reading %v: %w", u.GroupVersionKind(), err)
	}
	return out, nil
}

// stored gives in as the kind's stored type.
func (c converter) stored(in runtime.Object) (store.Object, error) {
	blank := c.k.New()
	if reflect.TypeOf(in) == reflect.TypeOf(blank) {
		return in.(store.Object), nil
	}
	for _, v := range c.k.Versions {
		if reflect.TypeOf(in) == reflect.TypeOf(v.New()) {
			return v.From(in)
		}
	}
	return nil, fmt.Errorf("converting %T: not a %s", in, c.k.Kind)
}

// New, Default, Convert and ConvertFieldLabel complete the interfaces of the library.
func (c converter) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if gvk == c.k.GVK() {
		return withKind(c.k.New(), gvk), nil
	}
	for _, v := range c.k.Versions {
		if gvk == v.GVK() {
			out := v.New()
			out.GetObjectKind().SetGroupVersionKind(gvk)
			return out, nil
		}
	}
	return nil, runtime.NewNotRegisteredErrForKind("apply", gvk)
}

// Default fills in the kind's defaults.
func (c converter) Default(in runtime.Object) {
	if o, ok := in.(store.Object); ok && reflect.TypeOf(in) == reflect.TypeOf(c.k.New()) {
		c.k.Default(o)
	}
}

// Convert is not used by the library.
func (c converter) Convert(in, out, _ any) error {
	return fmt.Errorf("converting %T to %T: not supported", in, out)
}

// ConvertFieldLabel is not used by the library.
func (c converter) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// withKind is a shallow copy of o that says what it is.
func withKind(o store.Object, gvk schema.GroupVersionKind) store.Object {
	v := reflect.ValueOf(o).Elem()
	c := reflect.New(v.Type())
	c.Elem().Set(v)
	out := c.Interface().(store.Object)
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out
}

// plain is what the library returned as the stored type without its kind.
func plain(k *kind.Kind, out runtime.Object) (store.Object, error) {
	obj, err := converter{k}.ConvertToVersion(out, k.GVK().GroupVersion())
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return obj.(store.Object), nil
}

// seconds cuts the times of obj's record to what the wire carries; entries
// stamped by the library's own clock get now unless that is zero.
func seconds(obj store.Object, now time.Time) {
	entries := obj.GetManagedFields()
	for i := range entries {
		if t := entries[i].Time; t != nil && t.Nanosecond() != 0 {
			at := t.Time
			if !now.IsZero() {
				at = now
			}
			entries[i].Time = &metav1.Time{Time: at.UTC().Truncate(time.Second)}
		}
	}
}
