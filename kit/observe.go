package kit

import (
	"context"
	"errors"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// observer is told how lists and watches fare.
type observer struct {
	scope *scope
	tell  func(resource string, err error)
}

// Observe has tell called with the outcome of every list and of the start of every watch,
// by resource; nil is success. Informers try again by themselves: this is for a role to say
// that it cannot read. It lasts as long as the Scope that it was asked of.
func (f *Informers) Observe(tell func(resource string, err error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observers = append(f.observers, observer{f.scope, tell})
}

// outcome tells the observers, and forgets those whose scope is closed.
func (f *informerSet) outcome(ctx context.Context, resource string, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, io.EOF) {
		return // part of every watch's life
	}
	f.mu.Lock()
	var left []observer
	for _, o := range f.observers {
		if !o.scope.closed.Load() {
			left = append(left, o)
		}
	}
	f.observers = left
	f.mu.Unlock()
	for _, o := range left {
		o.tell(resource, err)
	}
}

// observed is a ListerWatcher whose outcomes are told.
type observed struct {
	cache.ListerWatcher
	inner    cache.ListerWatcherWithContext
	set      *informerSet
	resource string
}

// ListWithContext lists and tells how it went.
func (o *observed) ListWithContext(ctx context.Context, lo metav1.ListOptions) (runtime.Object, error) {
	list, err := o.inner.ListWithContext(ctx, lo)
	o.set.outcome(ctx, o.resource, err)
	return list, err
}

// WatchWithContext begins to watch and tells how that went.
func (o *observed) WatchWithContext(ctx context.Context, lo metav1.ListOptions) (watch.Interface, error) {
	w, err := o.inner.WatchWithContext(ctx, lo)
	o.set.outcome(ctx, o.resource, err)
	return w, err
}

// IsWatchListSemanticsUnSupported passes on what the wrapped value says of itself.
func (o *observed) IsWatchListSemanticsUnSupported() bool {
	u, ok := o.inner.(interface{ IsWatchListSemanticsUnSupported() bool })
	return ok && u.IsWatchListSemanticsUnSupported()
}
