// Package supervise runs the parts of a process so that none ends another.
//
//	Group.Start(role) ─▶ build ─▶ run ─▶ ended (error, panic, or nil before its time)
//	                       ▲                │ told in the log and counted
//	                       └── backoff ◀────┘ until ctx ends
//
// Parts runs what makes one thing and cannot go on in part; Pause, Growth and Tries are how long whoever
// tries again waits. A role is built anew for each start, so that one that failed begins from nothing. Contain
// turns a panic of the calling goroutine into an error; every goroutine that a role starts
// and that acts on outside input runs inside one, since a panic nobody recovers ends the
// whole process. What cannot be recovered (a stack overflow, concurrent map writes, memory
// that is used up) must be made impossible where it would arise: internal/bounds.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Role is a part that runs until it is told to stop. Build is called for each start.
type Role struct {
	Name  string
	Build func() (func(context.Context) error, error)
}

// Panic is the error that a contained panic became.
type Panic struct {
	Name  string
	Value any
	Stack []byte
}

// Error names the part and what it panicked with. The stack is for the log.
func (p *Panic) Error() string { return fmt.Sprintf("panic in %s: %v", p.Name, p.Value) }

// Contain calls run and returns its error, or a *Panic when it panicked.
func Contain(name string, run func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{Name: name, Value: v, Stack: debug.Stack()}
		}
	}()
	return run()
}

// Backoff between two starts, which grows with each; a run of at least Sound starts over.
type Backoff struct {
	Growth
	Sound time.Duration
}

// Options of a Group. Log is needed. Registry may be nil.
type Options struct {
	Log      *slog.Logger
	Registry prometheus.Registerer
	Backoff  Backoff // 200 ms, 30 s, 1 min where zero
}

// Group runs roles, each on its own.
type Group struct {
	log      *slog.Logger
	backoff  Backoff
	wg       sync.WaitGroup
	running  *prometheus.GaugeVec
	restarts *prometheus.CounterVec

	mu    sync.Mutex
	ended map[string]error // roles that wait to be started again, and why they ended
}

// New makes a Group with nothing in it. It counts hyperkube_role_running (0 or 1) and
// hyperkube_role_restarts_total by role.
func New(o Options) *Group {
	g := &Group{
		log: o.Log, backoff: o.Backoff, ended: map[string]error{},
		running:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hyperkube_role_running", Help: "Whether a role runs (1) or waits to be started again (0)."}, []string{"role"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hyperkube_role_restarts_total", Help: "How often a role ended before its time and was started again."}, []string{"role"}),
	}
	if g.backoff.First == 0 {
		g.backoff.First = 200 * time.Millisecond
	}
	if g.backoff.Most == 0 {
		g.backoff.Most = 30 * time.Second
	}
	if g.backoff.Sound == 0 {
		g.backoff.Sound = time.Minute
	}
	if o.Registry != nil {
		o.Registry.MustRegister(g.running, g.restarts)
	}
	return g
}

// Start runs r, and runs it again whenever it ends, until ctx does. It does not block.
func (g *Group) Start(ctx context.Context, r Role) {
	g.wg.Go(func() {
		tries := Tries{Growth: g.backoff.Growth}
		for ctx.Err() == nil {
			began := time.Now()
			g.running.WithLabelValues(r.Name).Set(1)
			err := once(ctx, r)
			g.running.WithLabelValues(r.Name).Set(0)
			if ctx.Err() != nil {
				if err != nil && !errors.Is(err, context.Canceled) {
					g.log.Warn("role ended with an error while stopping", "role", r.Name, "err", err)
				}
				return
			}
			if time.Since(began) >= g.backoff.Sound {
				tries.Well()
			}
			if err == nil {
				err = errors.New("ended without an error")
			}
			g.note(r.Name, err)
			delay := tries.Next()
			g.tell(r.Name, err, delay)
			Pause(ctx, delay)
			g.note(r.Name, nil)
		}
	})
}

func (g *Group) tell(name string, err error, delay time.Duration) {
	g.restarts.WithLabelValues(name).Inc()
	args := []any{"role", name, "err", err, "in", delay}
	var p *Panic
	if errors.As(err, &p) {
		args = append(args, "stack", string(p.Stack))
	}
	g.log.Error("role ended, starting it again", args...)
}

func (g *Group) note(name string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended[name] = err; err == nil {
		delete(g.ended, name)
	}
}

// Ended says of the roles that wait to be started again why they ended, by name; nil while
// there are none.
func (g *Group) Ended() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []error
	for _, name := range slices.Sorted(maps.Keys(g.ended)) {
		all = append(all, fmt.Errorf("%s ended: %w", name, g.ended[name]))
	}
	return errors.Join(all...)
}

// Go runs f beside the roles: once, contained, its panic told.
func (g *Group) Go(name string, f func()) {
	g.wg.Go(func() {
		if err := Contain(name, func() error { f(); return nil }); err != nil {
			var p *Panic
			errors.As(err, &p)
			g.log.Error("part of the process panicked", "part", name, "err", err, "stack", string(p.Stack))
		}
	})
}

func once(ctx context.Context, r Role) error {
	return Contain(r.Name, func() error {
		run, err := r.Build()
		if err != nil {
			return err
		}
		return run(ctx)
	})
}

// Wait returns when every role is gone.
func (g *Group) Wait() { g.wg.Wait() }
