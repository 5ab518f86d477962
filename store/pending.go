package store

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// pending is a write on its way: the object is handed over before the
// transaction, so that the cache takes it as it is when the watch brings the
// same bytes back. Nothing depends on a match: unmatched events are decoded,
// unmatched writers take the entry from the snapshot.
type pending struct {
	key   string
	value []byte // what is written; nil for a deletion
	obj   Object // of a write
	prev  *Entry // of a deletion: what it deletes
	sum   uint64 // of the plain bytes
	size  int
	entry atomic.Pointer[Entry]
	// witness is one of the many watchers that the change is queued for; set before entry.
	witness *watcher
	wake    chan struct{} // a token whenever the writer should look again
	next    *pending
	listed  bool
}

// pendings is the table of all writes on their way.
type pendings struct {
	n     atomic.Int64
	mu    sync.Mutex
	byKey map[string]*pending
}

func (t *pendings) add(p *pending) {
	p.wake, p.listed = make(chan struct{}, 1), true
	t.n.Add(1)
	t.mu.Lock()
	p.next = t.byKey[p.key]
	t.byKey[p.key] = p
	t.mu.Unlock()
}

// take removes every pending write of key that wrote value, the first of them
// being the one whose object the cache adopts.
func (t *pendings) take(key, value []byte) *pending {
	if t.n.Load() == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unlink(string(key), func(p *pending) bool {
		return (p.value == nil) == (value == nil) && bytes.Equal(p.value, value)
	})
}

// drop is called by the writer when it is done; false means that the cache has
// the object.
func (t *pendings) drop(p *pending) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !p.listed {
		return false
	}
	t.unlink(p.key, func(q *pending) bool { return p == q })
	return true
}

// unlink removes the matching ones from the chain of key and returns them chained.
func (t *pendings) unlink(key string, match func(*pending) bool) (taken *pending) {
	head, ok := t.byKey[key]
	if !ok {
		return nil
	}
	var rest *pending
	for p := head; p != nil; {
		next := p.next
		if match(p) {
			p.next, taken, p.listed = taken, p, false
			t.n.Add(-1)
		} else {
			p.next, rest = rest, p
		}
		p = next
	}
	if rest == nil {
		delete(t.byKey, key)
	} else {
		t.byKey[key] = rest
	}
	return taken
}

// nudge makes every waiting writer look again, after events were skipped.
func (t *pendings) nudge() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byKey {
		for ; p != nil; p = p.next {
			p.signal()
		}
	}
}

func (p *pending) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// resolve gives the entry to the chain of writers that take returned.
func (p *pending) resolve(e *Entry) {
	for q := p; q != nil; {
		next := q.next
		q.next = nil
		q.entry.Store(e)
		q.signal()
		q = next
	}
}
