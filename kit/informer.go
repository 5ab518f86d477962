package kit

import (
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"hyperkube/internal/supervise"
)

// Informer is a local, indexed and current copy of a resource. T is a pointer to
// a published type (*corev1.Pod), *unstructured.Unstructured, or kit.Object
// itself for metadata informers. What it returns is shared and read-only.
type Informer[T Object] struct {
	shared *shared
	scope  *scope
}

// InformerFor returns the informer of all objects of a resource.
func InformerFor[T Object](f *Informers, gvr schema.GroupVersionResource) *Informer[T] {
	return Filtered[T](f, gvr, SourceOptions{})
}

// Filtered returns the informer of those objects of a resource that o selects.
// A metadata informer is the whole-object informer of the resource when there is
// one already.
func Filtered[T Object](f *Informers, gvr schema.GroupVersionResource, o SourceOptions) *Informer[T] {
	k := informerKey{gvr, o}
	if o.Metadata {
		whole := o
		whole.Metadata = false
		if f.has(informerKey{gvr, whole}) {
			k.options = whole
		}
		return &Informer[T]{f.get(k, nil), f.scope}
	}
	var example Object
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		example = reflect.New(t.Elem()).Interface().(Object)
	}
	return &Informer[T]{f.get(k, example), f.scope}
}

// OnChange registers h for as long as the informer, or the Scope that it was asked from, lasts. The
// result reports whether h has been told of every object of the first list.
func (i *Informer[T]) OnChange(h Handler[T]) (synced func() bool) {
	reg, err := i.shared.AddEventHandler(newGuard(h, i.shared, &i.scope.closed).funcs())
	if err != nil { // only an informer that has stopped refuses
		i.shared.log.Debug("handler refused", "resource", i.shared.gvr.String(), "err", err)
		return func() bool { return false }
	}
	i.scope.add(i.shared, reg)
	return reg.HasSynced
}

// Get returns one object; namespace is empty for cluster scope.
func (i *Informer[T]) Get(namespace, name string) (T, bool) {
	key := name
	if namespace != "" {
		key = namespace + "/" + name
	}
	o, ok, err := i.shared.GetIndexer().GetByKey(key)
	if !ok || err != nil {
		var zero T
		return zero, false
	}
	t, ok := o.(T)
	return t, ok
}

// List returns all objects, in no order.
func (i *Informer[T]) List() []T { return typed[T](i.shared.GetIndexer().List()) }

// ListIn returns the objects of a namespace, in no order.
func (i *Informer[T]) ListIn(namespace string) []T { return i.ByIndex(cache.NamespaceIndex, namespace) }

// Len is how many objects there are.
func (i *Informer[T]) Len() int { return len(i.shared.GetIndexer().ListKeys()) }

// AddIndex makes ByIndex(name, …) answer. It may be called at any time; a name
// stands for one function for good.
func (i *Informer[T]) AddIndex(name string, values func(T) []string) {
	i.shared.addIndex(name, func(o any) (found []string, _ error) {
		t, ok := o.(T)
		if !ok {
			return nil, nil
		}
		// It runs on the goroutine that keeps the store: one odd object must not end that.
		err := supervise.Contain("index "+name, func() error { found = values(t); return nil })
		if err != nil {
			i.shared.panics.Failed(err, "index", name, "object", KeyOf(t))
			return nil, nil
		}
		return found, nil
	})
}

// ByIndex returns the objects that have value in the named index.
func (i *Informer[T]) ByIndex(name, value string) []T {
	objs, err := i.shared.GetIndexer().ByIndex(name, value)
	if err != nil { // a name that was never added: a programmer's mistake
		i.shared.log.Error("no such index", "resource", i.shared.gvr.String(), "index", name)
		return nil
	}
	return typed[T](objs)
}

// Synced reports whether the first list is in.
func (i *Informer[T]) Synced() bool { return i.shared.HasSynced() }

// WaitSynced waits until the first list is in or ctx is done.
func (i *Informer[T]) WaitSynced(ctx context.Context) error {
	select {
	case <-i.shared.HasSyncedChecker().Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", i.shared.gvr.Resource, context.Cause(ctx))
	}
}

func typed[T Object](objs []any) []T {
	out := make([]T, 0, len(objs))
	for _, o := range objs {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out
}
