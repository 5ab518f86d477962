package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Parts are goroutines that make one thing and live and die together: when one that lasts ends before ctx does,
// for whatever reason, the context of all is cancelled. What is kept is the first reason, a panic among them; that a
// part gave up because its context had ended is none.
type Parts struct {
	ctx context.Context
	end context.CancelCauseFunc
	wg  sync.WaitGroup

	mu    sync.Mutex
	first error
}

// NewParts makes a thing without parts, which lives no longer than ctx.
func NewParts(ctx context.Context) *Parts {
	p := &Parts{}
	p.ctx, p.end = context.WithCancelCause(ctx)
	return p
}

// Context is what the parts run in; when one of them ended it, its cause says why.
func (p *Parts) Context() context.Context { return p.ctx }

// Lasts runs a part that ends only when it is told to. Ending earlier, without an error too, is a fault.
func (p *Parts) Lasts(name string, run func(context.Context) error) {
	p.start(name, run, errors.New("ended before its time"))
}

// Ends runs a part that may end by itself; only an error of it ends the others.
func (p *Parts) Ends(name string, run func(context.Context) error) { p.start(name, run, nil) }

func (p *Parts) start(name string, run func(context.Context) error, early error) {
	p.wg.Go(func() {
		err := Contain(name, func() error { return run(p.ctx) })
		if err == nil && p.ctx.Err() == nil {
			err = early
		}
		p.Fail(name, err)
	})
}

// Fail ends all with a reason, if err is one: it is kept when it is the first.
func (p *Parts) Fail(name string, err error) {
	if err == nil || p.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(p.ctx))) {
		return
	}
	err = fmt.Errorf("%s: %w", name, err)
	p.mu.Lock()
	if p.first == nil {
		p.first = err
	}
	p.mu.Unlock()
	p.end(err)
}

// Stop tells all to end.
func (p *Parts) Stop() { p.end(nil) }

// Wait returns when all have ended: with the first reason, or nil when all ended as they were told. Parts that still
// run may add others meanwhile.
func (p *Parts) Wait() error {
	p.wg.Wait()
	p.end(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

// Part is a part with a name.
type Part struct {
	Name string
	Run  func(context.Context) error
}

// Together makes one of parts that all last.
func Together(parts ...Part) func(context.Context) error {
	return func(ctx context.Context) error {
		all := NewParts(ctx)
		for _, p := range parts {
			all.Lasts(p.Name, p.Run)
		}
		return all.Wait()
	}
}
