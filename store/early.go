package store

import (
	"container/list"

	"hyperkube/internal/bounds"
)

// early are the watchers that have not delivered yet what came before their registration,
// in the order in which they came. Until then each keeps a state of the collection or the
// changes that it resumes over, and when it came at another time than the others it keeps
// what nobody else does: who reads a little at a time, while much is replaced, is cut off
// as one is that lets its queue grow. Guarded by the collection's lock.
type early struct{ list list.List }

// pinned is what early knows of a watcher.
type pinned struct {
	at       *list.Element // nil: nothing
	replaced int64         // in the collection, before it came
}

// add notes a watcher; those of this process' own roles are believed to read.
func (x *early) add(w *watcher, replaced int64) {
	if w.account != "" {
		w.early = pinned{x.list.PushBack(w), replaced}
	}
}

func (x *early) remove(w *watcher) {
	if w.early.at != nil {
		x.list.Remove(w.early.at)
		w.early.at = nil
	}
}

// cut ends those since whose coming more than bounds.HistoryBytes were replaced.
func (x *early) cut(c *collection) {
	for e := x.list.Front(); e != nil; e = x.list.Front() {
		w := e.Value.(*watcher)
		if c.replaced-w.early.replaced <= bounds.HistoryBytes {
			return
		}
		c.cutOff(w)
	}
}

// begin says that what came before w's registration is delivered.
func (w *watcher) begin() {
	w.begun = true
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.early.remove(w)
}

// Ended implements Watcher.
func (w *watcher) Ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

// cutOff ends a watcher that is too slow. The collection's lock is held.
func (c *collection) cutOff(w *watcher) {
	if c.forgetWatcher(w) {
		c.m.terminated.Inc()
	}
	w.end(ErrSlow)
}

// forgetWatcher takes a watcher out of all that changes go through; false if it was not
// there. The collection's lock is held.
func (c *collection) forgetWatcher(w *watcher) bool {
	c.early.remove(w)
	if !c.watchers.remove(w) {
		return false
	}
	c.m.watchers.Dec()
	return true
}
