package kit

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// Informers shares informers between the components of one process or role. A Scope of it is the same
// set with handlers that can be removed together.
type Informers struct {
	*informerSet
	scope *scope
}

type informerSet struct {
	source   Source
	log      *slog.Logger
	failures *prometheus.CounterVec // may be nil
	server   *trouble.Teller

	mu      sync.Mutex
	ctx     context.Context // of the Run in progress; nil before it
	stopped bool
	shared  map[informerKey]*shared
	running sync.WaitGroup
}

type informerKey struct {
	gvr     schema.GroupVersionResource
	options SourceOptions
}

// shared is one untyped informer with what makes it startable and indexable once.
type shared struct {
	cache.SharedIndexInformer
	gvr    schema.GroupVersionResource
	log    *slog.Logger
	panics *trouble.Teller // of index functions
	// newPanics makes the teller of a handler.
	newPanics func() *trouble.Teller
	mu        sync.Mutex
	indexes   map[string]bool
	stop      context.CancelFunc // nil until started; guarded by Informers.mu
}

// Option is a setting of informers and events.
type Option func(*settings)

type settings struct{ failures *prometheus.CounterVec }

// Failures counts what fails in a role's trouble.Metric.
func Failures(metric *prometheus.CounterVec) Option {
	return func(s *settings) { s.failures = metric }
}

func settingsOf(options []Option) settings {
	var s settings
	for _, o := range options {
		o(&s)
	}
	return s
}

// NewInformers returns an empty set over src. Informers are made by InformerFor
// and Filtered, and start with Run.
func NewInformers(src Source, log *slog.Logger, options ...Option) *Informers {
	f := &informerSet{source: src, log: log, failures: settingsOf(options).failures, shared: map[informerKey]*shared{}}
	f.server = trouble.New(log, f.failures, "reading from the API server")
	return &Informers{f, &scope{}}
}

// Again returns an empty set over the same source, with the same settings: for a role that reads
// only at times.
func (f *informerSet) Again() *Informers { return NewInformers(f.source, f.log, Failures(f.failures)) }

// Source is what the informers read from.
func (f *informerSet) Source() Source { return f.source }

// Run starts every informer, those asked for later too, and returns when ctx is
// done and all of them have stopped. An Informers runs once.
func (f *informerSet) Run(ctx context.Context) error {
	f.mu.Lock()
	if f.ctx != nil || f.stopped {
		f.mu.Unlock()
		return errors.New("informers run already")
	}
	f.ctx = ctx
	for _, s := range f.shared {
		f.startLocked(s)
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.running.Wait()
	return nil
}

func (f *informerSet) startLocked(s *shared) {
	ctx, stop := context.WithCancel(f.ctx)
	s.stop = stop
	f.running.Go(func() {
		defer stop()
		err := supervise.Contain("informer of "+s.gvr.Resource, func() error { s.RunWithContext(ctx); return nil })
		if err != nil {
			s.panics.Failed(err)
		}
	})
}

// Drop stops and forgets the informer of a resource that is no longer served. Nobody may use
// it any more; asking for the resource again makes a new one.
func (f *informerSet) Drop(gvr schema.GroupVersionResource, o SourceOptions) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := informerKey{gvr, o}
	s, ok := f.shared[k]
	if !ok {
		return
	}
	delete(f.shared, k)
	if s.stop != nil {
		s.stop()
	}
}

// get returns the informer of a key, made by mk the first time.
func (f *informerSet) get(k informerKey, example Object) *shared {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.shared[k]; ok {
		return s
	}
	s := f.newShared(k, example)
	f.shared[k] = s
	if f.ctx != nil && !f.stopped {
		f.startLocked(s)
	}
	return s
}

// has reports whether the informer of a key exists.
func (f *informerSet) has(k informerKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.shared[k]
	return ok
}

func (f *informerSet) newShared(k informerKey, example Object) *shared {
	what := k.gvr.GroupResource().String()
	s := &shared{gvr: k.gvr, log: f.log, indexes: map[string]bool{cache.NamespaceIndex: true}}
	s.newPanics = func() *trouble.Teller { return trouble.New(f.log, f.failures, "handling changes of "+what) }
	s.panics = s.newPanics()
	lw := &listerWatcher{f.source.ListerWatcher(k.gvr, k.options), trouble.New(f.log, f.failures, "watching "+what), f.server}
	o := cache.SharedIndexInformerOptions{
		Indexers:          cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		ObjectDescription: k.gvr.String(),
	}
	if example == nil { // any type may come: metadata or the whole object
		s.SharedIndexInformer = cache.NewSharedIndexInformerWithOptions(lw, nil, o)
	} else {
		s.SharedIndexInformer = cache.NewSharedIndexInformerWithOptions(lw, example, o)
	}
	// Fails only on an informer that runs already. What matters has been told by the listerWatcher.
	_ = s.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if ctx.Err() == nil {
			f.log.Debug("list or watch ended", "resource", k.gvr.String(), "err", err)
		}
	})
	return s
}

// addIndex adds an index once; a second index of the same name is the same index.
func (s *shared) addIndex(name string, fn cache.IndexFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indexes[name] {
		return
	}
	if err := s.AddIndexers(cache.Indexers{name: fn}); err != nil {
		s.log.Error("cannot add index", "resource", s.gvr.String(), "index", name, "err", err)
		return
	}
	s.indexes[name] = true
}
