package store

import (
	"context"
	"time"

	"hyperkube/internal/bounds"
)

type pacedKey struct{}

// Paced marks the writes of those who wait when a change of theirs concerns a crowd of
// watchers of one namespace which are not through with what was before: whoever lets
// thousands watch, and writes without a pause, would have all their queues grow to the end.
// Nobody else waits, and watchers of all namespaces, which belong to others than those who
// write, are no crowd.
func Paced(ctx context.Context) context.Context { return context.WithValue(ctx, pacedKey{}, true) }

// crowd is one of the many watchers that a change is queued for; by chance, so that
// it stands for all of them. nil: they are few.
type crowd struct {
	n   int
	one *watcher
}

func (x *crowd) count(w *watcher) {
	if w.account != "" && w.filter.Namespace != "" {
		x.n++
		x.one = w
	}
}

func (x *crowd) witness() *watcher {
	if x.n < bounds.WatchCrowd {
		return nil
	}
	return x.one
}

// pace waits until w, which has not had its turn, takes what is queued; not for long.
func (c *collection) pace(ctx context.Context, w *watcher) {
	if paced, _ := ctx.Value(pacedKey{}).(bool); !paced || w == nil || c.store.turns.delivers(w) {
		return
	}
	taken := w.untaken()
	if taken == nil {
		return
	}
	end := time.NewTimer(bounds.WatchPace)
	defer end.Stop()
	select {
	case <-taken:
	case <-end.C:
	case <-ctx.Done():
	case <-c.ended:
	}
}

// untaken is closed when what is queued now has been taken; nil if nothing is.
func (w *watcher) untaken() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || len(w.queue) == 0 {
		return nil
	}
	if w.asked == nil {
		w.asked = make(chan struct{})
	}
	return w.asked
}

// tookLocked tells those who wait for it.
func (w *watcher) tookLocked() {
	if w.asked != nil {
		close(w.asked)
		w.asked = nil
	}
}
