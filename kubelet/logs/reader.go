package logs

import (
	"context"
	"path/filepath"
	"sync"

	"hyperkube/internal/filewatch"
	"hyperkube/internal/supervise"
)

// Reader reads logs. All who follow one share one instance of what the kernel
// watches files with: a host has few of them (128 for a user, as a rule), and
// containerd, the folder of manifests and others need theirs. The zero
// value is ready. While nobody follows, nothing is held.
type Reader struct {
	mu       sync.Mutex
	notify   *filewatch.Watcher
	watching map[string]map[chan struct{}]bool // by directory
}

// watch tells of changes in a directory, until stop is called. Who follows looks once a second
// besides, as nothing is told while the host has no instance left.
func (r *Reader) watch(dir string) (changed <-chan struct{}, stop func()) {
	dir = filepath.Clean(dir)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notify == nil {
		r.notify, r.watching = filewatch.New(nil), map[string]map[chan struct{}]bool{}
		go r.tell(r.notify)
	}
	if r.watching[dir] == nil {
		if err := r.notify.Add(dir); err != nil && r.notify.Err() == nil {
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
		r.notify.Remove(dir)
	}
	r.endLocked()
}

// endLocked gives the instance back when nobody follows any more.
func (r *Reader) endLocked() {
	if r.notify != nil && len(r.watching) == 0 {
		r.notify.Close() // ends tell
		r.notify, r.watching = nil, nil
	}
}

// tell wakes the followers until the instance is closed. Followers look now and then
// anyway, so one that fails costs them a second.
func (r *Reader) tell(notify *filewatch.Watcher) {
	_ = supervise.Contain("watching logs", func() error {
		notify.Run(context.Background(), func(name string) { // until it is closed
			if name == "" {
				r.again(notify)
				r.wake("")
			} else {
				r.wake(filepath.Dir(name))
			}
		})
		return nil
	})
}

// again watches all directories, as the instance may be a new one.
func (r *Reader) again(notify *filewatch.Watcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notify != notify {
		return
	}
	for dir := range r.watching {
		_ = notify.Add(dir) // who follows looks once a second anyway
	}
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
