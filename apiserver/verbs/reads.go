package verbs

import (
	"context"
	"errors"

	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Reads lists and watches one resource for callers in the same process: the
// options mean what they mean over HTTP, the entries are the store's own.
type Reads struct{ ep endpoint }

// Reads finds a stored resource.
func (h *Handler) Reads(gvr schema.GroupVersionResource) (*Reads, bool) {
	s := h.Registry.Table().Find(gvr)
	if s == nil || s.Collection == nil {
		return nil, false
	}
	return &Reads{endpoint{s}}, true
}

// New makes an empty object.
func (r *Reads) New() runtime.Object { return r.ep.New() }

// Object is an entry's object in the resource's version; read-only.
func (r *Reads) Object(e *store.Entry) (runtime.Object, error) { return r.ep.View.Served(e.Object) }

// List answers as a list request would.
func (r *Reads) List(ctx context.Context, namespace string, o *metav1.ListOptions) (*store.List, error) {
	if err := checkListOptions(o); err != nil {
		return nil, err
	}
	lo, err := r.ep.listRequest(namespace, o)
	if err != nil {
		return nil, err
	}
	l, err := r.ep.Collection.List(ctx, lo)
	return l, r.Explain(err)
}

// Watch answers as a watch request would; a revision that is gone is an error here.
func (r *Reads) Watch(ctx context.Context, namespace string, o *metav1.ListOptions) (store.Watcher, error) {
	if err := checkListOptions(o); err != nil {
		return nil, err
	}
	wo, err := r.ep.watchRequest(namespace, o)
	if err != nil {
		return nil, err
	}
	if err := r.ep.startNow(ctx, o, &wo); err != nil {
		return nil, r.Explain(err)
	}
	w, err := r.ep.Collection.Watch(ctx, wo)
	if errors.Is(err, store.ErrExpired) {
		return nil, apierrors.NewResourceExpired("too old resource version")
	}
	return w, r.Explain(err)
}

// Explain turns the store's errors into API errors.
func (r *Reads) Explain(err error) error { return (&call{ep: r.ep}).explain(err, "") }
