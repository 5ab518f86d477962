package store

import (
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/internal/bounds"
)

// change is one event of a collection before any filter.
type change struct {
	rev   int64
	entry *Entry // nil for a deletion
	prev  *Entry // nil for a creation
	last  atomic.Pointer[Entry]
}

// gone is prev as it leaves: the last state with the revision of this change.
// Computed once and shared by all watchers.
func (c *change) gone() *Entry {
	if e := c.last.Load(); e != nil {
		return e
	}
	e := c.prev.at(c.rev)
	if !c.last.CompareAndSwap(nil, e) {
		return c.last.Load()
	}
	return e
}

// event is the change as a filter sees it, ok false if it does not.
func (c *change) event(f *Filter, value func(Object) string) (ev Event, ok bool) {
	now := c.entry != nil && f.takes(c.entry, value)
	before := c.prev != nil && f.takes(c.prev, value)
	switch {
	case now && before:
		return Event{Type: watch.Modified, Entry: c.entry, Revision: c.rev}, true
	case now:
		return Event{Type: watch.Added, Entry: c.entry, Revision: c.rev}, true
	case before:
		return Event{Type: watch.Deleted, Entry: c.gone(), Revision: c.rev}, true
	}
	return Event{}, false
}

const (
	ringMin = 64
	ringMax = 10_000
	// ringWarm is how many of the newest changes keep the encodings of what
	// they replaced; watchers are rarely further behind.
	ringWarm = 1000
	// ringSpan is how far back a watcher should be able to resume while the
	// number of events allows it: a little more than the bookmark interval.
	ringSpan = 75 * time.Second
)

// ring holds the recent changes of a collection, oldest first.
type ring struct {
	buf   []slot
	start int
	n     int
	lost  int64 // every change after this revision is in the ring
	bytes int   // of what the changes replaced or deleted
}

type slot struct {
	c    *change
	when int64 // nanoseconds since the store began
}

// weight is what a change keeps that nobody else does: the state before it.
func (c *change) weight() int {
	if c.prev == nil {
		return 0
	}
	return c.prev.size
}

func (r *ring) reset(rev int64) { *r = ring{lost: rev} }

// push appends a change; when the ring is full it grows if the oldest change
// is still young, and forgets the oldest otherwise.
func (r *ring) push(c *change, now int64) {
	if r.n == len(r.buf) {
		r.fit(now)
	}
	if r.n == len(r.buf) {
		r.forget()
	}
	r.buf[(r.start+r.n)%len(r.buf)] = slot{c, now}
	r.n++
	r.bytes += c.weight()
	for r.bytes > bounds.HistoryBytes && r.n > 1 {
		r.forget()
	}
	if r.n > ringWarm {
		if prev := r.at(r.n - 1 - ringWarm).c.prev; prev != nil {
			prev.forget()
		}
	}
}

// forget drops the oldest change.
func (r *ring) forget() {
	c := r.buf[r.start].c
	r.lost = c.rev
	r.bytes -= c.weight()
	r.buf[r.start] = slot{}
	r.start = (r.start + 1) % len(r.buf)
	r.n--
}

// trim forgets what is old, but for a few, and says whether more will be old later.
func (r *ring) trim(now int64) (more bool) {
	drop := 0
	for r.n-drop > ringMin && r.at(drop).when <= now-int64(ringSpan) {
		drop++
	}
	if drop > 0 {
		size := ringMin
		for size < r.n-drop {
			size *= 2
		}
		r.lost = r.at(drop - 1).c.rev
		r.keep(r.n-drop, min(size, ringMax))
	}
	return r.n > ringMin
}

// fit chooses a size by the age of what is held.
func (r *ring) fit(now int64) {
	size := max(len(r.buf), ringMin)
	old := now - int64(ringSpan)
	switch {
	case r.n > 0 && r.at(0).when > old:
		size = min(2*size, ringMax)
	case r.n > ringMin && r.at(r.n-r.n/4).when <= old:
		size = max(size/2, ringMin)
	}
	if size != len(r.buf) {
		r.resize(size)
	}
}

func (r *ring) at(i int) slot { return r.buf[(r.start+i)%len(r.buf)] }

func (r *ring) resize(size int) {
	n := min(r.n, size)
	if n < r.n {
		r.lost = r.at(r.n - n - 1).c.rev
	}
	r.keep(n, size)
}

// keep moves the newest n changes to a buffer of the given size.
func (r *ring) keep(n, size int) {
	buf := make([]slot, size)
	r.bytes = 0
	for i := range n {
		buf[i] = r.at(r.n - n + i)
		r.bytes += buf[i].c.weight()
	}
	r.buf, r.start, r.n = buf, 0, n
}

// since returns the changes after rev, or false if some of them are lost.
func (r *ring) since(rev int64) ([]*change, bool) {
	if rev < r.lost {
		return nil, false
	}
	lo, hi := 0, r.n
	for lo < hi {
		mid := (lo + hi) / 2
		if r.at(mid).c.rev > rev {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	out := make([]*change, 0, r.n-lo)
	for i := lo; i < r.n; i++ {
		out = append(out, r.at(i).c)
	}
	return out, true
}
