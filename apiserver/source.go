package apiserver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/filters"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/route"
	"hyperkube/apiserver/verbs"
	"hyperkube/internal/bounds"
	"hyperkube/internal/supervise"
	"hyperkube/kit"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Source gives informers the store's own objects: no encoding, no copy, no
// socket. What user may not list or watch is refused as over HTTP.
func (s *Server) Source(user *request.User) kit.Source { return &source{s: s, user: user} }

type source struct {
	s    *Server
	user *request.User
}

// ListerWatcher implements kit.Source.
func (s *source) ListerWatcher(gvr schema.GroupVersionResource, o kit.SourceOptions) cache.ListerWatcherWithContext {
	return &listerWatcher{source: s, gvr: gvr, o: o}
}

type listerWatcher struct {
	*source
	gvr schema.GroupVersionResource
	o   kit.SourceOptions
}

// open authorizes the request and finds the resource.
func (l *listerWatcher) open(ctx context.Context, verb string, lo *metav1.ListOptions) (*verbs.Reads, error) {
	lo.LabelSelector, lo.FieldSelector = l.o.LabelSelector, l.o.FieldSelector
	info := &request.Info{
		IsResource: true, Verb: verb, APIPrefix: "apis", Group: l.gvr.Group, Version: l.gvr.Version, Namespace: l.o.Namespace,
		Resource: l.gvr.Resource, FieldSelector: lo.FieldSelector, LabelSelector: lo.LabelSelector,
		Name: route.SelectedName(lo.FieldSelector),
	}
	if l.gvr.Group == "" {
		info.APIPrefix = "api"
	}
	if err := filters.Allowed(ctx, l.s.o.Authorizer, l.user, info); err != nil {
		return nil, err
	}
	reads, ok := l.s.verbs.Reads(l.gvr)
	if !ok {
		return nil, apierrors.NewNotFound(l.gvr.GroupResource(), "")
	}
	return reads, nil
}

// ListWithContext implements cache.ListerWithContext; the items are shared.
func (l *listerWatcher) ListWithContext(ctx context.Context, lo metav1.ListOptions) (runtime.Object, error) {
	reads, err := l.open(ctx, "list", &lo)
	if err != nil {
		return nil, err
	}
	list, err := reads.List(ctx, l.o.Namespace, &lo)
	if err != nil {
		return nil, err
	}
	out := &kit.List{ListMeta: metav1.ListMeta{
		ResourceVersion: codec.FormatRevision(list.Revision), Continue: list.Continue, RemainingItemCount: list.Remaining}}
	for e := range list.Entries {
		o, err := reads.Object(e)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, o)
	}
	return out, nil
}

// WatchWithContext implements cache.WatcherWithContext; the objects are shared.
func (l *listerWatcher) WatchWithContext(ctx context.Context, lo metav1.ListOptions) (watch.Interface, error) {
	lo.Watch = true
	reads, err := l.open(ctx, "watch", &lo)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stopServer := context.AfterFunc(l.s.stopping, cancel)
	if lo.TimeoutSeconds != nil && *lo.TimeoutSeconds > 0 {
		var drop context.CancelFunc
		ctx, drop = context.WithTimeout(ctx, bounds.Seconds(*lo.TimeoutSeconds))
		inner := cancel
		cancel = func() { drop(); inner() }
	}
	w, err := reads.Watch(ctx, l.o.Namespace, &lo)
	if err != nil {
		stopServer()
		cancel()
		return nil, err
	}
	sw := &shared{reads: reads, w: w, out: make(chan watch.Event, 64), cancel: func() { stopServer(); cancel() }}
	go sw.run(ctx)
	return sw, nil
}

// shared turns a store's watcher into a watch.Interface.
type shared struct {
	reads  *verbs.Reads
	w      store.Watcher
	out    chan watch.Event
	cancel func()
	once   sync.Once
}

// Stop implements watch.Interface.
func (s *shared) Stop() { s.once.Do(s.cancel) }

// ResultChan implements watch.Interface; it is closed when the watch is over.
func (s *shared) ResultChan() <-chan watch.Event { return s.out }

// run ends with ctx, which Stop and the server's end cancel. A panic ends this
// watch alone.
func (s *shared) run(ctx context.Context) {
	defer close(s.out)
	defer s.Stop()
	defer s.w.Stop()
	if err := supervise.Contain("watch", func() error { return s.deliver(ctx) }); err != nil {
		s.fail(ctx, err)
	}
}

// deliver returns nil when ctx is done.
func (s *shared) deliver(ctx context.Context) error {
	for {
		events, err := s.w.Next(ctx)
		if err != nil {
			return err
		}
		for i := range events {
			ev, err := s.event(&events[i])
			if err != nil {
				return err
			}
			select {
			case s.out <- ev:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (s *shared) event(e *store.Event) (watch.Event, error) {
	if e.Type == watch.Bookmark {
		o := s.reads.New()
		m, ok := o.(metav1.Object)
		if !ok {
			return watch.Event{}, fmt.Errorf("%T has no metadata", o)
		}
		m.SetResourceVersion(codec.FormatRevision(e.Revision))
		if e.InitialEventsEnd {
			m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		}
		return watch.Event{Type: e.Type, Object: o}, nil
	}
	o, err := s.reads.Object(e.Entry)
	return watch.Event{Type: e.Type, Object: o}, err
}

func (s *shared) fail(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, store.ErrSlow) || errors.Is(err, store.ErrClosed) {
		return
	}
	select {
	case s.out <- watch.Event{Type: watch.Error, Object: codec.StatusOf(s.reads.Explain(err))}:
	case <-ctx.Done():
	}
}

var (
	_ cache.ListerWatcherWithContext = (*listerWatcher)(nil)
	_ watch.Interface                = (*shared)(nil)
)
