package store

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/internal/bounds"
)

const (
	// initialChunk is how many objects of the present state are delivered at a time.
	initialChunk = 500
	// queueIdle is the capacity above which an emptied queue is given back.
	queueIdle = 256

	bookmarkEvery = time.Minute
	// bookmarkAhead is how long before its deadline a watcher gets a last bookmark.
	bookmarkAhead = 2 * time.Second
)

// watcher is one watch. What it must deliver first (initial state or changes
// it resumes over) is worked off by its own goroutine; what happens after its
// registration is queued by the loop.
type watcher struct {
	c       *collection
	account string
	turn    turn // of the store's turns
	early   pinned
	filter  Filter
	value   func(Object) string
	from    int64 // changes up to here are known to the watcher

	// Next's own
	pivot Key     // where the initial state goes on
	begun bool    // nothing is left to deliver before the queue
	spare []Event // the slice returned last

	mu sync.Mutex
	// delivered before the queue
	state   *snapshot
	marker  bool // EndOfInitial still to come
	backlog []*change

	queue  []Event
	bytes  int   // stored bytes of the queue
	taken  int64 // when Next looked last, nanoseconds since the store began
	err    error
	timer  *time.Timer
	wake   chan struct{}
	asked  chan struct{} // closed when the queue is taken; nil: nobody waits for it
	ending time.Time
}

// Watch implements Collection.
func (c *collection) Watch(ctx context.Context, o WatchOptions) (Watcher, error) {
	value, err := c.index(o.IndexName)
	if err != nil {
		return nil, err
	}
	if err := c.fresh(ctx, Freshness{Any: !o.Latest || o.From > 0}); err != nil {
		return nil, err
	}
	if o.Min > 0 {
		if err := c.fresh(ctx, Freshness{Min: o.Min}); err != nil {
			return nil, err
		}
	}
	if err := c.store.known(ctx, o.From); err != nil {
		return nil, err
	}
	w := &watcher{c: c, account: o.Account, filter: o.Filter, value: value, wake: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.over(); err != nil {
		return nil, err
	}
	now := max(c.store.applied.Load(), c.snap.Load().rev)
	switch {
	case o.From > 0:
		changes, ok := c.ring.since(o.From)
		if !ok {
			return nil, ErrExpired
		}
		w.backlog, w.from = changes, max(o.From, now)
		if o.From > now { // a revision this server has not seen yet: nothing up to there is news
			w.from = o.From
		}
	default:
		w.from = now
		if o.Initial {
			w.state, w.pivot = c.snap.Load(), Key{Namespace: o.Namespace}
		}
		w.marker = o.EndOfInitial
	}
	c.watchers.add(w)
	c.m.watchers.Inc()
	if w.state != nil || w.backlog != nil {
		c.early.add(w, c.replaced)
	}
	if o.Bookmarks {
		w.schedule(ctx)
	}
	return w, nil
}

// known fails with ErrExpired when from is a revision that etcd never had: one
// that a client knows from before etcd was restored. Nothing would ever come.
func (s *Store) known(ctx context.Context, from int64) error {
	if from <= s.applied.Load() {
		return nil
	}
	rev, err := s.newest(ctx)
	if err == nil && from > rev {
		err = ErrExpired
	}
	return err
}

// Next implements Watcher.
func (w *watcher) Next(ctx context.Context) ([]Event, error) {
	for {
		w.c.store.turns.done(w)
		if err := w.await(ctx); err != nil {
			return nil, err
		}
		if !w.begun {
			if evs := w.first(); len(evs) > 0 {
				return evs, nil
			}
			w.begin()
		}
		if evs, err := w.swap(); len(evs) > 0 || err != nil {
			return evs, err
		}
	}
}

// await returns when there may be something to deliver and it is w's turn, or w's end.
func (w *watcher) await(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		due, err := w.due()
		if err != nil {
			return err
		}
		if due && (w.account == "" || w.c.store.turns.ask(w)) {
			return nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// due says whether Next has something to do.
func (w *watcher) due() (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.begun || len(w.queue) > 0, w.err
}

// first delivers what came before the registration, some at a time.
func (w *watcher) first() []Event {
	for {
		state, backlog, last := w.before()
		out := w.spare[:0]
		switch {
		case state != nil:
			out, last = w.initial(out, state)
		case len(backlog) > 0:
			for _, ch := range backlog {
				if ev, ok := ch.event(&w.filter, w.value); ok {
					out = append(out, ev)
				}
			}
		}
		if last && w.marked() {
			out = append(out, Event{Type: watch.Bookmark, Revision: w.from, InitialEventsEnd: true})
		}
		if len(out) > 0 {
			w.spare = out
			return out
		}
		if state == nil && len(backlog) == 0 {
			return nil
		}
	}
}

// before takes the next piece of what came before the registration. last: there
// is no more of it.
func (w *watcher) before() (state *snapshot, backlog []*change, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = w.c.store.sinceBegan()
	if w.err != nil {
		return nil, nil, false
	}
	if w.state != nil {
		return w.state, nil, false
	}
	n := min(len(w.backlog), initialChunk)
	backlog, w.backlog = w.backlog[:n:n], w.backlog[n:]
	if len(w.backlog) == 0 {
		w.backlog = nil
	}
	return nil, backlog, w.backlog == nil
}

// marked says whether the end of the initial events is to be told now.
func (w *watcher) marked() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	tell := w.marker && w.err == nil
	w.marker = false
	return tell
}

// initial appends a piece of the initial state.
func (w *watcher) initial(out []Event, state *snapshot) (_ []Event, last bool) {
	q := query{filter: w.filter, value: w.value, from: w.pivot, after: w.pivot.Name != ""}
	end := (*Entry)(nil)
	q.each(state, func(e *Entry) bool {
		out = append(out, Event{Type: watch.Added, Entry: e, Revision: e.Revision})
		end = e
		return len(out) < initialChunk
	})
	if len(out) == initialChunk {
		w.pivot = end.Key
		return out, false
	}
	w.mu.Lock()
	w.state = nil
	w.mu.Unlock()
	return out, true
}

// swap takes the queue and leaves the slice of the last round in its place.
func (w *watcher) swap() ([]Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	if len(w.queue) == 0 {
		return nil, nil
	}
	w.taken = w.c.store.sinceBegan()
	evs := w.queue
	spare := w.spare
	if cap(spare) > queueIdle {
		spare = nil
	}
	clear(spare)
	w.queue, w.spare, w.bytes = spare[:0], evs, 0
	w.tookLocked()
	return evs, nil
}

// push queues an event; ok is false when more waits than may, or for longer;
// first says that the watcher has to be woken.
func (w *watcher) push(ev Event, now int64) (first, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := 0
	if ev.Entry != nil {
		size = ev.Entry.size
	}
	switch n := len(w.queue); {
	case n == 0: // an event of any size is delivered
		w.taken = max(w.taken, now)
	case n >= bounds.WatchEvents, w.bytes+size > bounds.WatchBytes, now-w.taken > int64(bounds.WatchStall):
		return false, false
	}
	w.queue = append(w.queue, ev)
	w.bytes += size
	return len(w.queue) == 1, true
}

func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// end makes Next fail with err. Holding the collection's lock is not needed.
func (w *watcher) end(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
		w.tookLocked()
		w.queue, w.bytes, w.state, w.backlog = nil, 0, nil, nil // the reader may never come
		if w.timer != nil {
			w.timer.Stop()
		}
	}
	w.mu.Unlock()
	w.signal()
}

// Stop implements Watcher.
func (w *watcher) Stop() {
	w.c.mu.Lock()
	w.c.forgetWatcher(w)
	w.c.mu.Unlock()
	w.end(ErrClosed)
	w.c.store.turns.leave(w)
}

// schedule sets the timer of the bookmarks; a watch whose context has a
// deadline gets a last one shortly before.
func (w *watcher) schedule(ctx context.Context) {
	if d, ok := ctx.Deadline(); ok {
		w.ending = d
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.untilBookmark(), w.bookmark)
}

func (w *watcher) untilBookmark() time.Duration {
	if w.ending.IsZero() {
		return bookmarkEvery
	}
	last := time.Until(w.ending) - bookmarkAhead
	if last > 0 && last < bookmarkEvery+bookmarkAhead {
		return last
	}
	return bookmarkEvery
}

// bookmark queues the revision up to which the watcher has everything.
func (w *watcher) bookmark() {
	w.c.mu.Lock()
	rev := max(w.c.store.applied.Load(), w.c.snap.Load().rev, w.from)
	first, _ := w.push(Event{Type: watch.Bookmark, Revision: rev}, w.c.store.sinceBegan())
	w.c.mu.Unlock()
	if first {
		w.c.store.turns.wake([]*watcher{w})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.timer.Reset(w.untilBookmark())
	}
}
