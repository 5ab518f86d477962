// Package trouble tells of work that cannot be done: one line at once, then, while it
// lasts, again and again with growing pauses, and one line when it is over. It is for loops
// that retry (a watch that is refused, an API server that is gone, an event that cannot be
// written): silence would hide the fault, a line each time would hide everything else.
package trouble

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pauses between two lines about the same trouble: the first, doubling up to the last.
const (
	firstPause = 10 * time.Second
	lastPause  = 10 * time.Minute
)

// Metric counts failures by what failed. Each role has one in its registry, which is made by
// whoever asks first; nil counts nothing.
func Metric(r prometheus.Registerer) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hyperkube_failures_total", Help: "How often something that is tried again and again failed."}, []string{"what"})
	if r == nil {
		return v
	}
	err := r.Register(v)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if have, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			return have
		}
	}
	if err != nil {
		panic(err) // as MustRegister does: another metric has the name
	}
	return v
}

// Teller tells of one trouble. It is safe for several goroutines.
type Teller struct {
	log   *slog.Logger
	what  string
	count prometheus.Counter

	mu     sync.Mutex
	since  time.Time // zero while all is well
	next   time.Time // before which nothing more is told
	pause  time.Duration
	hidden int // failures not told since the last line
}

// New makes a Teller for what ("watching pods"), which also is the metric's label. metric
// may be nil.
func New(log *slog.Logger, metric *prometheus.CounterVec, what string) *Teller {
	t := &Teller{log: log, what: what}
	if metric != nil {
		t.count = metric.WithLabelValues(what)
	}
	return t
}

// Failed counts a failure, and logs it when it is the first or when the last line about it
// is long enough ago.
func (t *Teller) Failed(err error, args ...any) {
	if t.count != nil {
		t.count.Inc()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.since.IsZero() {
		t.since, t.pause = now, firstPause
	} else if now.Before(t.next) {
		t.hidden++
		return
	} else {
		t.pause = min(2*t.pause, lastPause)
	}
	t.next = now.Add(t.pause)
	args = append(args, "err", err)
	if lasts := now.Sub(t.since); lasts > 0 {
		args = append(args, "for", lasts.Round(time.Second), "more", t.hidden)
	}
	t.hidden = 0
	t.log.Warn(t.what+" fails, trying again", args...)
}

// Well ends the trouble, if there was one, and says so.
func (t *Teller) Well() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		return
	}
	t.log.Info(t.what+" works again", "after", time.Since(t.since).Round(time.Millisecond))
	t.since, t.next, t.hidden = time.Time{}, time.Time{}, 0
}
