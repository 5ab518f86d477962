package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// futureLimit is how long a read waits for a revision that it was asked for.
	futureLimit = 3 * time.Second
	// latestLimit is how long a read waits for a revision that etcd has.
	latestLimit = 10 * time.Second
	// progressSoon and progressEvery are when a waiting read asks the watch how
	// far it is: etcd's newest revision may have touched none of our keys.
	progressSoon  = 2 * time.Millisecond
	progressEvery = 100 * time.Millisecond
)

// FutureError is an ErrFuture that says how far away the revision is.
type FutureError struct{ Want, Have int64 }

func (e *FutureError) Error() string {
	return fmt.Sprintf("%v: have %d, want %d", ErrFuture, e.Have, e.Want)
}

// Is makes the error an ErrFuture.
func (e *FutureError) Is(target error) bool { return target == ErrFuture }

// fresh waits until the snapshots are as new as f demands.
func (s *Store) fresh(ctx context.Context, f Freshness) error {
	select {
	case <-s.closed:
		return ErrClosed
	case <-s.rewound:
		return ErrRewound
	default:
	}
	if !s.isReady.Load() {
		if err := s.loaded(ctx); err != nil {
			return err
		}
	}
	switch {
	case f.Any:
		return nil
	case f.Min > 0 || f.Exact > 0:
		rev := max(f.Min, f.Exact)
		if s.applied.Load() >= rev {
			return nil
		}
		return s.await(ctx, rev, futureLimit)
	}
	return s.latest(ctx)
}

// loaded waits for the first load: before it, everything would seem absent.
func (s *Store) loaded(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, latestLimit, fmt.Errorf("%w: nothing is loaded yet", ErrDown))
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// latest waits until the snapshots have what etcd had when the call began.
func (s *Store) latest(ctx context.Context) error {
	if s.exclusive { // whoever wrote has waited for the snapshots
		return nil
	}
	rev, err := s.newest(ctx)
	if err != nil {
		return err
	}
	if s.applied.Load() >= rev {
		return nil
	}
	return s.await(ctx, rev, latestLimit)
}

// await waits until the snapshots have reached rev.
func (s *Store) await(ctx context.Context, rev int64, limit time.Duration) error {
	if s.applied.Load() >= rev {
		return nil
	}
	w := s.waiters.add(rev)
	defer s.waiters.remove(w)
	if s.applied.Load() >= rev {
		return nil
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	ask := time.NewTimer(progressSoon)
	defer ask.Stop()
	for {
		select {
		case <-w.reached:
			return nil
		case <-ask.C:
			s.progress(ctx)
			ask.Reset(progressEvery)
		case <-end.C:
			return &FutureError{Want: rev, Have: s.applied.Load()}
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return ErrClosed
		case <-s.rewound:
			return ErrRewound
		}
	}
}

// Reachable says whether etcd answers now. Callers share one question.
func (s *Store) Reachable(ctx context.Context) error {
	if err := s.Ready(ctx); err != nil {
		return err
	}
	select {
	case <-s.rewound:
		return ErrRewound
	default:
	}
	_, err := s.newest(ctx)
	return err
}

// newest is etcd's revision.
func (s *Store) newest(ctx context.Context) (int64, error) {
	if rev, ok := s.backend.Current(); ok {
		return max(rev, s.applied.Load()), nil
	}
	rev, err := s.flight.revision(ctx, s.closed, s.backend.Revision)
	if err != nil {
		return 0, fmt.Errorf("store: reading etcd's revision: %w", err)
	}
	return rev, nil
}

// progress asks the watch how far it is; the answer comes through the loop.
func (s *Store) progress(ctx context.Context) {
	w := s.watching.Load()
	if w == nil {
		return
	}
	if err := (*w).Progress(ctx); err != nil && ctx.Err() == nil {
		s.log.Debug("asking the watch for its progress", "error", err)
	}
}

// advance tells the waiting reads how far the snapshots are.
func (s *Store) advance(rev int64) {
	if rev <= s.applied.Load() {
		return
	}
	s.applied.Store(rev)
	s.waiters.release(rev)
}

// waiters are the reads that wait for a revision.
type waiters struct {
	n    atomic.Int64
	mu   sync.Mutex
	list []*waiter
}

type waiter struct {
	rev     int64
	reached chan struct{}
}

// add must be followed by a look at the applied revision.
func (l *waiters) add(rev int64) *waiter {
	w := &waiter{rev: rev, reached: make(chan struct{})}
	l.mu.Lock()
	l.list = append(l.list, w)
	l.n.Store(int64(len(l.list)))
	l.mu.Unlock()
	return w
}

func (l *waiters) remove(w *waiter) {
	l.keep(func(x *waiter) bool { return x != w })
}

func (l *waiters) release(rev int64) {
	if l.n.Load() == 0 {
		return
	}
	l.keep(func(w *waiter) bool {
		if w.rev > rev {
			return true
		}
		close(w.reached)
		return false
	})
}

func (l *waiters) keep(want func(*waiter) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.list[:0]
	for _, w := range l.list {
		if want(w) {
			kept = append(kept, w)
		}
	}
	clear(l.list[len(kept):])
	l.list = kept
	l.n.Store(int64(len(kept)))
}

// flight reads etcd's revision for many callers at once. A caller joins the
// read that begins after it came, never the one under way.
type flight struct {
	mu      sync.Mutex
	running bool
	next    *flightRead
}

type flightRead struct {
	done chan struct{}
	rev  int64
	err  error
}

func (f *flight) revision(ctx context.Context, closed <-chan struct{}, read func(context.Context) (int64, error)) (int64, error) {
	f.mu.Lock()
	if f.next == nil {
		f.next = &flightRead{done: make(chan struct{})}
	}
	mine := f.next
	if !f.running {
		f.running = true
		go f.run(context.WithoutCancel(ctx), read)
	}
	f.mu.Unlock()
	select {
	case <-mine.done:
		return mine.rev, mine.err
	case <-closed:
		return 0, ErrClosed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run serves reads until nobody waits for another. It ends with its last read,
// which is bounded in time.
func (f *flight) run(ctx context.Context, read func(context.Context) (int64, error)) {
	for {
		f.mu.Lock()
		r := f.next
		f.next = nil
		if r == nil {
			f.running = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		bounded, cancel := context.WithTimeout(ctx, latestLimit)
		r.rev, r.err = read(bounded)
		cancel()
		close(r.done)
	}
}
