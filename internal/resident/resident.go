// Package resident keeps a long-running process small while it has little to do.
//
//	GC cycles ──▶ none for a while ──▶ Forget, give the heap's garbage back,
//	                                    unmap files that nobody reads
//
// A process of many roles runs much code and fills many tables once, when it
// starts or when a burst of work comes, and would carry their pages for ever.
// Keep notices the end of such a time by the garbage collector's silence. It
// costs nothing in between: no timer runs in an idle process.
package resident

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Options of Keep. All may be left out.
type Options struct {
	// Quiet is how long no garbage collection must have happened; 0 means five seconds.
	Quiet time.Duration
	// Forget drops what can be made again, before the heap is cleaned.
	Forget func()
	Log    *slog.Logger
}

const (
	quiet = 5 * time.Second
	// worth is by how much the process must have grown, or how much must lie idle,
	// for another round.
	worth = 12 << 20
)

// Keep watches over the process until ctx is done. One per process is enough.
func Keep(ctx context.Context, o Options) {
	if o.Quiet <= 0 {
		o.Quiet = quiet
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	collected := make(chan struct{}, 1)
	collected <- struct{}{} // the start was a busy time
	onCollection(ctx, collected)
	timer := time.NewTimer(o.Quiet)
	defer timer.Stop()
	armed, settled := true, uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-collected:
			timer.Reset(o.Quiet)
			armed = true
		case <-timer.C:
			if !armed {
				continue
			}
			armed = false
			if now, idle := held(); settled > 0 && now < settled+worth && idle < worth {
				continue
			}
			o.settle()
			settled, _ = held()
		}
	}
}

func (o *Options) settle() {
	before, _ := held()
	if o.Forget != nil {
		o.Forget()
	}
	debug.FreeOSMemory()
	files, err := DropFiles()
	if err != nil {
		o.Log.Debug("files stay mapped", "err", err)
	}
	after, _ := held()
	o.Log.Debug("gave memory back", "before", before, "after", after, "files", files)
}

// held is how much memory the Go runtime has from the kernel, and how much of it
// lies idle.
func held() (all, idle uint64) {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64(), s[2].Value.Uint64()
}

// sentinel is garbage whose end tells that a collection happened.
type sentinel struct{ _ [16]byte }

// onCollection sends to c after every garbage collection while ctx lasts.
func onCollection(ctx context.Context, c chan<- struct{}) {
	runtime.SetFinalizer(&sentinel{}, func(*sentinel) {
		if ctx.Err() != nil {
			return
		}
		select {
		case c <- struct{}{}:
		default:
		}
		onCollection(ctx, c)
	})
}
