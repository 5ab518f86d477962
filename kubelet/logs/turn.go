package logs

import (
	"context"
	"errors"
	"os"
	"time"

	"hyperkube/internal/supervise"
)

// turn is one log's rotation that has ended.
type turn struct {
	*watched
	done bool
	err  error
}

// visit has a file rotated if it must be, and arms its watch before it looks, so that no write goes unseen.
func (r *rotation) visit(ctx context.Context, w *watched) {
	w.due = time.Time{}
	armed := r.notify.Add(w.Path)
	full, err := r.full(w.Path)
	switch {
	case full || os.IsNotExist(err):
		r.notify.Remove(w.Path) // the watch would go with the renamed file
		r.begin(ctx, w)
	case err != nil:
		r.failed(w, err)
	case armed != nil:
		w.due = time.Now().Add(time.Second) // no more watches
	}
}

// begin rotates a log beside the others: the runtime may take its time with one of them. There is one rotation of a
// log at a time.
func (r *rotation) begin(ctx context.Context, w *watched) {
	r.turning[w.Path] = true
	file := w.File
	r.wg.Go(func() {
		t := turn{watched: w}
		t.err = supervise.Contain("rotating a log", func() (err error) {
			t.done, err = r.rotate(ctx, file)
			return err
		})
		select {
		case r.turned <- t:
		case <-ctx.Done():
		}
	})
}

// settle takes in what became of a rotation. A new log is looked at at once, as nobody did meanwhile.
func (r *rotation) settle(t turn) {
	delete(r.turning, t.Path)
	if t.err == nil && t.done {
		r.tidyLater(t.watched)
	}
	w := r.files[t.Path]
	if w == nil {
		return
	}
	switch {
	case errors.Is(t.err, errGone):
		delete(r.files, t.Path)
	case t.err != nil:
		r.failed(w, t.err)
	case t.done:
		w.due = time.Now()
	default:
		w.due = time.Now().Add(time.Second) // made anew, or not there yet
	}
}

func (r *rotation) failed(w *watched, err error) {
	r.Log.Warn("rotating a container log", "file", w.Path, "err", err)
	w.due = time.Now().Add(rotateEvery / 6)
}

// tidyLater puts the older files in order beside further rotations.
func (r *rotation) tidyLater(w *watched) {
	pack := time.Since(w.rotated) > restless
	w.rotated = time.Now()
	if w.tidying != nil {
		select {
		case <-w.tidying:
		default:
			return // at it; what this rotation adds is seen to after the next
		}
	}
	done := make(chan struct{})
	w.tidying = done
	path := w.Path
	r.wg.Go(func() {
		defer close(done)
		if err := r.tidy(path, pack); err != nil {
			r.Log.Warn("tidying rotated logs", "file", path, "err", err)
		}
	})
}
