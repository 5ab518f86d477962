package logs

import (
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"

	"hyperkube/internal/supervise"
)

// Reader reads logs. All who follow one share one instance of what the kernel
// watches files with: a host has few of them (128 for a user, as a rule), and
// containerd, the the folder of manifests and others need theirs. The zero
// value is ready. While nobody follows, nothing is held.
type Reader struct {
	mu       sync.Mutex
	notify   *fsnotify.Watcher
	watching map[string]map[chan struct{}]bool // by directory
}

// watch tells of changes in a directory, until stop is called. The channel is nil when
// the host has no watch left.
func (r *Reader) watch(dir string) (changed <-chan struct{}, stop func()) {
	dir = filepath.Clean(dir)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notify == nil {
		notify, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, func() {}
		}
		r.notify, r.watching = notify, map[string]map[chan struct{}]bool{}
		go r.tell(notify)
	}
	if r.watching[dir] == nil {
		if err := r.notify.Add(dir); err != nil {
			r.endLocked()
			return nil, func() {}
		}
		r.watching[dir] = map[chan struct{}]bool{}
	}
	c := make(chan struct{}, 1)
	r.watching[dir][c] = true
	return c, func() { r.leave(dir, c) }
}

func (r *Reader) leave(dir string, c chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.watching[dir][c] {
		return // the watch ended before
	}
	delete(r.watching[dir], c)
	if len(r.watching[dir]) == 0 {
		delete(r.watching, dir)
		_ = r.notify.Remove(dir) // gone with the directory, as a rule
	}
	r.endLocked()
}

// endLocked gives the instance back when nobody follows any more.
func (r *Reader) endLocked() {
	if r.notify != nil && len(r.watching) == 0 {
		_ = r.notify.Close() // ends tell
		r.notify, r.watching = nil, nil
	}
}

// tell wakes the followers until the instance is closed. Followers look now and then
// anyway, so one that fails costs them a second.
func (r *Reader) tell(notify *fsnotify.Watcher) {
	_ = supervise.Contain("watching logs", func() error {
		for {
			select {
			case e, ok := <-notify.Events:
				if !ok {
					return nil
				}
				r.wake(filepath.Dir(e.Name))
			case _, ok := <-notify.Errors: // some were lost
				if !ok {
					return nil
				}
				r.wake("")
			}
		}
	})
}

// wake has the followers of a directory look, or all.
func (r *Reader) wake(dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, all := range r.watching {
		if dir != "" && at != dir {
			continue
		}
		for c := range all {
			select {
			case c <- struct{}{}:
			default: // woken already
			}
		}
	}
}
