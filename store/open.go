package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hyperkube/internal/bounds"
	"hyperkube/store/backend"
	"hyperkube/store/etcd"
	"hyperkube/store/seal"
)

// Options says where the objects lie. Exactly one of Etcd and Servers is needed.
type Options struct {
	// Etcd is the member in this process; it outlives the store.
	Etcd *etcd.Server
	// Servers are the URLs of an etcd elsewhere, TLS what to reach it with.
	Servers []string
	TLS     *tls.Config
	// Wait makes Open wait for servers that do not answer, and tell why.
	Wait bool
	// Prefix is what all keys begin with, "/registry" when empty.
	Prefix string

	// Keys seal the values of encrypted resources. Without keys a resource
	// that wants encryption cannot be registered, unless AllowPlain is set.
	Keys       *seal.Config
	AllowPlain bool

	// Compaction is how often etcd's history is compacted, by one of the servers
	// that share it: 0 is every 5 minutes, less than 0 never.
	Compaction time.Duration

	// DetectMutation makes the store check that nobody changed a shared
	// object, when the object is replaced and on Close; it panics if so.
	DetectMutation bool

	Log        *slog.Logger
	Registerer prometheus.Registerer

	backend backend.Backend // tests
}

// Store is all collections over one etcd.
type Store struct {
	opts      Options
	log       *slog.Logger
	prefix    string // with a slash at the end
	backend   backend.Backend
	full      <-chan struct{} // etcd's quota is used up
	exclusive bool            // nobody else writes to etcd: the snapshots are never behind
	seed      maphash.Seed
	began     time.Time
	metrics   *metrics

	pivots   pivots
	pendings pendings
	leases   leases
	kept     kept
	flight   flight
	waiters  waiters
	turns    turns
	past     historians
	applied  atomic.Int64 // every change up to here is in the snapshots

	mu       sync.RWMutex // guards the four below
	keys     *seal.Config
	byName   map[name]*collection
	byPrefix map[string]*collection
	depth    int // segments of the longest prefix

	started   atomic.Bool
	ready     chan struct{}
	isReady   atomic.Bool
	requests  chan func(context.Context)
	watching  atomic.Pointer[backend.Watch]
	interrupt atomic.Pointer[context.CancelFunc] // of the loop's wait for events
	stop      context.CancelFunc
	closed    chan struct{}
	rewound   chan struct{} // closed when etcd went back: the snapshots are no longer true
	done      chan struct{}
	touched   []*collection // the loop's scratch
}

type name struct{ group, resource string }

var _ Reader = (*Store)(nil)

// Open connects to etcd. Register the resources next, then Start.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b, err := connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	gate := backend.NewGate(b)
	s := &Store{
		opts: o, log: o.Log.With("component", "store"), backend: gate, full: gate.Full(),
		prefix: o.keyPrefix(),
		seed:   maphash.MakeSeed(), began: time.Now(),
		byName: map[name]*collection{}, byPrefix: map[string]*collection{},
		ready: make(chan struct{}), closed: make(chan struct{}), rewound: make(chan struct{}), done: make(chan struct{}),
		requests: make(chan func(context.Context), 16),
	}
	s.keys = o.Keys
	rev, local := b.Current()
	s.exclusive = local && rev == 0
	s.past = make(historians, bounds.PastReads)
	s.turns.init(bounds.WatchTurns * runtime.GOMAXPROCS(0))
	s.pendings.byKey = map[string]*pending{}
	if s.metrics, err = newMetrics(s, o.Registerer); err != nil {
		return nil, fmt.Errorf("store: metrics: %w", err)
	}
	return s, nil
}

// keyPrefix is what all keys begin with, with a slash at the end.
func (o Options) keyPrefix() string {
	if o.Prefix == "" {
		return "/registry/"
	}
	return strings.TrimSuffix(o.Prefix, "/") + "/"
}

func connect(ctx context.Context, o Options) (backend.Backend, error) {
	switch {
	case o.backend != nil:
		return o.backend, nil
	case o.Etcd != nil && len(o.Servers) > 0:
		return nil, errors.New("both an embedded etcd and etcd servers given")
	case o.Etcd != nil:
		return backend.NewEmbedded(o.Etcd, o.Etcd.Exclusive(), o.Etcd.Sole()), nil
	case len(o.Servers) > 0:
		return backend.Dial(ctx, backend.DialOptions{Servers: o.Servers, TLS: o.TLS, Log: o.Log, Wait: o.Wait})
	}
	return nil, errors.New("neither an embedded etcd nor etcd servers given")
}

// Start loads every registered resource and follows etcd until Close. It
// returns when the snapshots are complete.
func (s *Store) Start(ctx context.Context) error {
	if !s.started.CompareAndSwap(false, true) {
		return errors.New("store: started already")
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	first := make(chan error, 1)
	go func() {
		defer close(s.done)
		var beside sync.WaitGroup
		beside.Go(func() { s.compact(run) })
		s.run(run, first)
		beside.Wait()
	}()
	select {
	case err := <-first:
		if err != nil {
			stop()
			<-s.done
			return fmt.Errorf("store: loading: %w", err)
		}
		s.isReady.Store(true)
		close(s.ready)
		return nil
	case <-ctx.Done():
		stop()
		<-s.done
		return fmt.Errorf("store: loading: %w", ctx.Err())
	}
}

// Ready waits until Start has loaded everything.
func (s *Store) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Collection finds a registered resource.
func (s *Store) Collection(group, resource string) (Collection, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.byName[name{group, resource}]
	if !ok {
		return nil, false
	}
	return c, true
}

// sinceBegan is the store's clock, in nanoseconds.
func (s *Store) sinceBegan() int64 { return int64(time.Since(s.began)) }

// Revision is the revision up to which the snapshots hold everything.
func (s *Store) Revision() int64 { return s.applied.Load() }

// Close ends all watchers with ErrClosed and stops following etcd.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
		s.mu.Unlock()
		<-s.done
		return nil
	default:
		close(s.closed)
	}
	s.mu.Unlock()
	if s.started.Load() {
		s.stop()
		<-s.done
	} else {
		close(s.done)
	}
	for _, c := range s.collections() {
		c.close()
		if s.opts.DetectMutation {
			c.verifyAll()
		}
	}
	s.kept.clear()
	s.metrics.unregister()
	return s.backend.Close()
}

func (s *Store) collections() []*collection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*collection, 0, len(s.byName))
	for _, c := range s.byName {
		out = append(out, c)
	}
	return out
}
