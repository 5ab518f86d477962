package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hyperkube/internal/filewatch"
	"hyperkube/internal/trouble"
)

const (
	// rotateEvery is how often all files are looked at, whatever the kernel told of them.
	rotateEvery = time.Minute
	// fastest is the writer, in bytes a second, that must be noticed before a file is twice as large as it may be.
	fastest = 200 << 20
	// restless is how soon after a rotation the next one shows a writer whose files are not worth packing.
	restless = 10 * time.Second
)

// File is the log of a running container.
type File struct{ ID, Path string }

// Rotator keeps every running container's logs within MaxFiles files of about MaxSize bytes. It sleeps until a file
// is written to, and then looks at it as often as a writer could fill it. A runtime that does not reopen one
// container's log, as while somebody attached to that container takes nothing in, holds up no other's.
type Rotator struct {
	MaxSize  int64
	MaxFiles int
	Files    func() []File
	// Reopen has the runtime write to a new file at the same path.
	Reopen   func(ctx context.Context, id string) error
	Log      *slog.Logger
	Failures *prometheus.CounterVec // of trouble.Metric, or nil

	poke chan struct{}
}

// errGone is a log without a container.
var errGone = errors.New("neither the log nor its container is there")

// NewRotator returns a rotator; its other fields are set before Run.
func NewRotator(maxSize int64, maxFiles int) *Rotator {
	return &Rotator{MaxSize: maxSize, MaxFiles: maxFiles, poke: make(chan struct{}, 1)}
}

// Poke tells that Files has changed.
func (r *Rotator) Poke() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// watched is one file that Run keeps an eye on.
type watched struct {
	File
	due     time.Time // of the next look; zero while the kernel is asked to tell of a write
	rotated time.Time
	tidying chan struct{} // closed when the last rotation's older files are in order; nil when none ever was
}

// rotation is the state of one Run.
type rotation struct {
	*Rotator
	notify  *filewatch.Watcher
	files   map[string]*watched
	turning map[string]bool // the paths of logs under rotation
	turned  chan turn
	wg      sync.WaitGroup
}

// Run rotates until ctx ends.
func (r *Rotator) Run(ctx context.Context) error {
	notify, changed := filewatch.New(trouble.New(r.Log, r.Failures, "watching logs")), make(chan string)
	run := &rotation{Rotator: r, notify: notify, files: map[string]*watched{}, turning: map[string]bool{}, turned: make(chan turn)}
	defer run.wg.Wait()
	defer notify.Close()
	run.wg.Go(func() {
		notify.Run(ctx, func(name string) {
			select {
			case changed <- name:
			case <-ctx.Done():
			}
		})
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	relist := time.NewTicker(rotateEvery)
	defer relist.Stop()
	run.list(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-relist.C:
			run.list(true)
		case <-r.poke:
			run.list(false)
		case name := <-changed:
			if name == "" {
				run.list(true)
			} else {
				run.written(name)
			}
		case t := <-run.turned:
			run.settle(t)
		case <-timer.C:
		}
		timer.Stop()
		if next := run.look(ctx); !next.IsZero() {
			timer.Reset(max(time.Until(next), 0))
		}
	}
}

// list takes in which files there are; all has the known ones looked at too.
func (r *rotation) list(all bool) {
	now, have := time.Now(), map[string]bool{}
	for _, f := range r.Files() {
		have[f.Path] = true
		w := r.files[f.Path]
		if w == nil {
			w = &watched{due: now}
			r.files[f.Path] = w
		}
		w.File = f
		if all {
			w.due = now
		}
	}
	for path := range r.files {
		if !have[path] {
			r.notify.Remove(path)
			delete(r.files, path)
		}
	}
}

// written sets when a file that is being written must be looked at, and asks not to be told of it until then.
func (r *rotation) written(path string) {
	w := r.files[path]
	if w == nil || !w.due.IsZero() || r.turning[path] {
		return
	}
	r.notify.Remove(path)
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	w.due = time.Now().Add(patience(size, r.MaxSize))
}

// patience is how long the fastest writer needs to double the limit.
func patience(size, limit int64) time.Duration {
	room := max(2*limit-size, 0)
	return max(time.Duration(float64(room)/fastest*float64(time.Second))/2, time.Millisecond)
}

// look checks the files that are due and returns when the next one is.
func (r *rotation) look(ctx context.Context) (next time.Time) {
	now := time.Now()
	for _, w := range r.files {
		if r.turning[w.Path] {
			continue
		}
		if !w.due.IsZero() && !w.due.After(now) {
			r.visit(ctx, w)
		}
		if !w.due.IsZero() && (next.IsZero() || w.due.Before(next)) {
			next = w.due
		}
	}
	return next
}

// Check rotates one log if it is too large.
func (r *Rotator) Check(ctx context.Context, f File) error {
	done, err := r.rotate(ctx, f)
	if err != nil || !done {
		return err
	}
	return r.tidy(f.Path, true)
}

// rotate begins a new file if the log is too large.
func (r *Rotator) rotate(ctx context.Context, f File) (bool, error) {
	full, err := r.full(f.Path)
	if os.IsNotExist(err) { // a rotation that was cut short, or a container that has just been removed
		if err := r.Reopen(ctx, f.ID); err != nil {
			return false, errors.Join(errGone, err)
		}
		return false, nil
	}
	if err != nil || !full {
		return false, err
	}
	to := rotatedName(f.Path, time.Now())
	if err := os.Rename(f.Path, to); err != nil {
		return false, fmt.Errorf("renaming: %w", err)
	}
	if err := r.Reopen(ctx, f.ID); err != nil {
		if back := os.Rename(to, f.Path); back != nil {
			return false, fmt.Errorf("reopening: %w (and renaming back: %w)", err, back)
		}
		return false, fmt.Errorf("reopening: %w", err)
	}
	return true, nil
}

// full tells whether a log must be rotated.
func (r *Rotator) full(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return info.Size() >= r.MaxSize, nil
}

// rotatedName is to the second, as log shippers expect; finer when that second has a file already.
func rotatedName(path string, now time.Time) string {
	to := path + "." + now.Format("20060102-150405")
	if _, err := os.Lstat(to); err == nil {
		return path + "." + now.Format("20060102-150405.000000000")
	}
	return to
}
