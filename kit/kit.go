// Package kit is what every component that reads and reconciles is built from:
// informers over a Source, the one controller loop, expectations, events and
// leases.
//
//	Source ──list/watch──▶ Informer[T] ──OnChange──▶ key mapping ──▶ queue
//	  (the API server's own objects,      │                            │ workers
//	   or HTTP: Remote)                   └──Get/List/ByIndex──▶ Reconcile(ctx, key)
//
// Contract:
//   - Objects that informers hand out are shared with every other reader, in one
//     process even with the store. They are read-only: DeepCopy before a change.
//   - There is one informer for a (resource, options) pair in an Informers, so
//     asking twice costs nothing.
//   - Informers are shared, handlers are not: a role that may be started again takes a
//     Scope of the Informers and closes it when its Run returns.
//   - Nothing here is global: metrics go to the registry given, logs to the
//     logger given.
//   - Whatever runs, runs under a ctx and has ended when the Run that started it
//     returns.
package kit

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
)

// Object is anything an informer can hold: a published API type, an
// unstructured object or bare metadata.
type Object interface {
	runtime.Object
	metav1.Object
}

// Source is where informers get their objects. The API server of the same
// process implements it with the store's own objects; Remote implements it over
// HTTP. A component cannot tell them apart.
//
// An in-process source answers ListWithContext with a List and sends the
// objects of the store themselves in watch events. A bookmark event carries a new, empty
// object of the kind (its resourceVersion set; the annotation
// metav1.InitialEventsAnnotationKey ends the initial events when
// SendInitialEvents was asked for). A watch whose revision is gone fails with a
// 410 status, from WatchWithContext or as an Error event.
// A source that does not honour SendInitialEvents gives its ListerWatcher a
// method IsWatchListSemanticsUnSupported() bool that returns true.
type Source interface {
	ListerWatcher(gvr schema.GroupVersionResource, o SourceOptions) cache.ListerWatcherWithContext
}

// SourceOptions narrows what a ListerWatcher sees. The zero value sees all
// objects of the resource in full.
type SourceOptions struct {
	Namespace     string
	LabelSelector string
	FieldSelector string
	// Metadata says that only ObjectMeta is needed: a source may then send
	// metav1.PartialObjectMetadata instead of the whole object, whichever is
	// cheaper for it. Read such informers as InformerFor[kit.Object].
	Metadata bool
}

// List is a list whose items are pointers to shared objects, so that an
// in-process source need not copy them into a typed list.
type List struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object
}

// DeepCopyObject copies the list and the items in it.
func (l *List) DeepCopyObject() runtime.Object {
	out := &List{TypeMeta: l.TypeMeta, Items: make([]runtime.Object, len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i, o := range l.Items {
		out.Items[i] = o.DeepCopyObject()
	}
	return out
}
