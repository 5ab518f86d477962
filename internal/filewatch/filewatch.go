// Package filewatch tells when files change: by inotify, or, while the host has no instance of
// it left, by having its user look now and then.
//
//	instance ──▶ the name of what changed
//	none ──────▶ "", every Every, until an instance is to be had; then "" once more
//
// There are few instances for each user of a host (128, as a rule), root's are shared by the
// host and its pods, and anybody may hold all. Nothing of ours may stop for that.
//
// Contract: New never fails. "" means: something may have changed, look at everything, and
// add again what is to be watched, as it is forgotten with each instance. Add says whether it
// is watched now; who is told no has to look by itself, at the latest at the next "". Run
// tells one change at a time until ctx ends or the watcher is closed. Close gives the
// instance back before it returns. All may be called by any goroutine.
package filewatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"hyperkube/internal/trouble"
)

// Every is how often there is a look without an instance, and a try to get one.
const Every = 5 * time.Second

var (
	errNone = errors.New("no inotify instance is left on this host, so changes are looked for now and then: " +
		"raise fs.inotify.max_user_instances, or end what holds them")
	errClosed = errors.New("the watcher is closed")
)

// Watcher watches files and directories.
type Watcher struct {
	told *trouble.Teller
	open func() (*fsnotify.Watcher, error)
	done chan struct{} // closed by Close

	mu     sync.Mutex
	notify *fsnotify.Watcher // nil while there is none
	err    error             // why
}

// New returns a watcher that watches nothing yet. told is told when there is no instance, and
// when there is one again; nil for nobody.
func New(told *trouble.Teller) *Watcher { return with(told, fsnotify.NewWatcher) }

func with(told *trouble.Teller, open func() (*fsnotify.Watcher, error)) *Watcher {
	w := &Watcher{told: told, open: open, done: make(chan struct{})}
	w.try()
	return w
}

// try takes an instance when there is none.
func (w *Watcher) try() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify != nil || w.closed() {
		return
	}
	notify, err := w.open()
	if err != nil {
		w.err = fmt.Errorf("%w (%w)", errNone, err)
		if w.told != nil {
			w.told.Failed(w.err)
		}
		return
	}
	w.notify, w.err = notify, nil
	if w.told != nil {
		w.told.Well()
	}
}

// Err is why nothing is watched now, nil when there is an instance.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Add watches a file or directory; one that is watched already stays so. An error says that
// it is not.
func (w *Watcher) Add(path string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify == nil {
		return w.err
	}
	return w.notify.Add(path)
}

// Remove ends the watch of a path, if there is one.
func (w *Watcher) Remove(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify != nil {
		_ = w.notify.Remove(path) // gone with the file, as a rule
	}
}

// Run tells of changes.
func (w *Watcher) Run(ctx context.Context, tell func(name string)) {
	defer w.drop(errClosed)
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for ctx.Err() == nil && !w.closed() {
		w.mu.Lock()
		notify := w.notify
		w.mu.Unlock()
		if notify != nil {
			forward(ctx, notify, tell)
			w.drop(errNone)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-w.done:
			return
		case <-tick.C:
		}
		w.try()
		tell("")
	}
}

// forward tells what an instance says until ctx ends or the instance does.
func forward(ctx context.Context, notify *fsnotify.Watcher, tell func(string)) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-notify.Events:
			if !ok {
				return
			}
			tell(e.Name)
		case _, ok := <-notify.Errors: // something was missed
			if !ok {
				return
			}
			tell("")
		}
	}
}

// Close ends Run and gives the instance back.
func (w *Watcher) Close() {
	w.mu.Lock()
	if !w.closed() {
		close(w.done)
	}
	w.mu.Unlock()
	w.drop(errClosed)
}

func (w *Watcher) closed() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// drop gives the instance back.
func (w *Watcher) drop(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify != nil {
		_ = w.notify.Close() // fails for no reason of its own
	}
	w.notify, w.err = nil, why
}
