package kit

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"hyperkube/internal/trouble"
)

// How long a list may take in all, and how long a watch may take to begin. A server that
// takes a connection and answers nothing would hold an informer back for ever.
const (
	listWithin  = 2 * time.Minute
	watchWithin = 30 * time.Second
)

// listerWatcher is what informers list and watch with: it gives a source's ListerWatcher the
// two methods without ctx that client-go's constructors still ask for (and never call when the
// other two exist), limits how long a request may hang, and tells when a request fails.
type listerWatcher struct {
	cache.ListerWatcherWithContext
	refused *trouble.Teller // this resource is not to be had
	server  *trouble.Teller // the server is gone, busy, or does not know us: the same for all resources
}

// ListWithContext implements cache.ListerWatcherWithContext.
func (l *listerWatcher) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	limited, cancel := context.WithTimeoutCause(ctx, listWithin, fmt.Errorf("no list within %s", listWithin))
	defer cancel()
	list, err := l.ListerWatcherWithContext.ListWithContext(limited, o)
	l.tell(ctx, limited, err)
	return list, err
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (l *listerWatcher) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	limited, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(watchWithin, func() { cancel(fmt.Errorf("no watch within %s", watchWithin)) })
	w, err := l.ListerWatcherWithContext.WatchWithContext(limited, o)
	if !late.Stop() && err == nil {
		w.Stop()
		err = context.Cause(limited)
	}
	l.tell(ctx, limited, err)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return &boundWatch{w, cancel}, nil
}

// boundWatch frees what bounded its beginning.
type boundWatch struct {
	watch.Interface
	cancel context.CancelCauseFunc
}

func (w *boundWatch) Stop() {
	w.Interface.Stop()
	w.cancel(nil)
}

// tell reports how a request ended. That a revision is gone or not there yet is no trouble: the
// informer lists again. What a request is cut off for by its owner is none either.
func (l *listerWatcher) tell(owner, limited context.Context, err error) {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		l.refused.Well()
		l.server.Well()
	case owner.Err() != nil, apierrors.IsResourceExpired(err), apierrors.IsGone(err), tooNew(err):
	case errors.As(err, &status) && !apierrors.IsUnauthorized(err) && !apierrors.IsTooManyRequests(err) && !apierrors.IsServiceUnavailable(err):
		l.server.Well()
		l.refused.Failed(err)
	case context.Cause(limited) != nil:
		l.server.Failed(fmt.Errorf("%w: %w", context.Cause(limited), err))
	default:
		l.server.Failed(err)
	}
}

// tooNew: a server that lags behind was asked for a revision that another one gave.
func tooNew(err error) bool {
	return apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// List implements cache.ListerWatcher.
func (l *listerWatcher) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

// Watch implements cache.ListerWatcher.
func (l *listerWatcher) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), o)
}

// IsWatchListSemanticsUnSupported passes on what the wrapped value says of itself.
func (l *listerWatcher) IsWatchListSemanticsUnSupported() bool {
	u, ok := l.ListerWatcherWithContext.(interface{ IsWatchListSemanticsUnSupported() bool })
	return ok && u.IsWatchListSemanticsUnSupported()
}
