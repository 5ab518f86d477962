package backend

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed: the gate was closed.
var ErrClosed = errors.New("store is closed")

// Gate lets calls through to a backend until Close, which cancels those under
// way and closes the backend when the last one has returned: nobody calls a
// backend that is gone.
type Gate struct {
	inner Backend
	life  context.Context
	stop  context.CancelFunc

	mu      sync.Mutex
	calls   int
	closed  bool
	drained chan struct{} // closed when closed and no call is left

	full chan struct{} // of one: a call ended with ErrQuota
}

var _ Backend = (*Gate)(nil)

// NewGate puts a gate before b.
func NewGate(b Backend) *Gate {
	g := &Gate{inner: b, drained: make(chan struct{}), full: make(chan struct{}, 1)}
	g.life, g.stop = context.WithCancel(context.Background())
	return g
}

// pass makes one call whose context ends with the gate's life too.
func (g *Gate) pass(ctx context.Context, call func(context.Context) error) error {
	if !g.enter() {
		return ErrClosed
	}
	defer g.leave()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.life, cancel)()
	err := call(inner)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // etcd has its own words for it
		return ctx.Err()
	case g.life.Err() != nil:
		return ErrClosed
	case errors.Is(err, ErrQuota):
		select {
		case g.full <- struct{}{}:
		default: // somebody will look
		}
	}
	return err
}

// Full tells, once for one or more, of calls that ended with ErrQuota.
func (g *Gate) Full() <-chan struct{} { return g.full }

func (g *Gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.calls++
	return true
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls--; g.closed && g.calls == 0 {
		close(g.drained)
	}
}

// Close implements Backend.
func (g *Gate) Close() error {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	if first && g.calls == 0 {
		close(g.drained)
	}
	g.mu.Unlock()
	g.stop()
	<-g.drained
	if !first {
		return nil
	}
	return g.inner.Close()
}

// Write implements Backend.
func (g *Gate) Write(ctx context.Context, w Write) (rev int64, ok bool, err error) {
	err = g.pass(ctx, func(ctx context.Context) (err error) {
		rev, ok, err = g.inner.Write(ctx, w)
		return err
	})
	return rev, ok, err
}

// Remove implements Backend.
func (g *Gate) Remove(ctx context.Context, key string, expect int64) (rev int64, ok bool, err error) {
	err = g.pass(ctx, func(ctx context.Context) (err error) {
		rev, ok, err = g.inner.Remove(ctx, key, expect)
		return err
	})
	return rev, ok, err
}

// Range implements Backend.
func (g *Gate) Range(ctx context.Context, r Range) (p Page, err error) {
	err = g.pass(ctx, func(ctx context.Context) (err error) {
		p, err = g.inner.Range(ctx, r)
		return err
	})
	return p, err
}

// Revision implements Backend.
func (g *Gate) Revision(ctx context.Context) (rev int64, err error) {
	err = g.pass(ctx, func(ctx context.Context) (err error) {
		rev, err = g.inner.Revision(ctx)
		return err
	})
	return rev, err
}

// Current implements Backend.
func (g *Gate) Current() (int64, bool) {
	if !g.enter() {
		return 0, false
	}
	defer g.leave()
	return g.inner.Current()
}

// Grant implements Backend.
func (g *Gate) Grant(ctx context.Context, ttl int64) (lease int64, err error) {
	err = g.pass(ctx, func(ctx context.Context) (err error) {
		lease, err = g.inner.Grant(ctx, ttl)
		return err
	})
	return lease, err
}

// Compact implements Backend.
func (g *Gate) Compact(ctx context.Context, rev int64) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.Compact(ctx, rev) })
}

// Relieve implements Backend.
func (g *Gate) Relieve(ctx context.Context) error { return g.pass(ctx, g.inner.Relieve) }

// Watch implements Backend. A watch is not a call that Close waits for: whoever
// closes the gate has stopped its watches.
func (g *Gate) Watch(ctx context.Context, start, end string, from int64) (Watch, error) {
	if !g.enter() {
		return nil, ErrClosed
	}
	defer g.leave()
	w, err := g.inner.Watch(ctx, start, end, from)
	if err != nil {
		return nil, err
	}
	return &gateWatch{Watch: w, gate: g}, nil
}

// gateWatch gates the one call that others than the watch's owner make.
type gateWatch struct {
	Watch
	gate *Gate
}

// Progress implements Watch.
func (w *gateWatch) Progress(ctx context.Context) error {
	return w.gate.pass(ctx, w.Watch.Progress)
}
