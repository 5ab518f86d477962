package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// role is a part of the cluster that runs until it is told to stop. build is
// called anew for each start, so that a role that failed begins from nothing.
type role struct {
	name  string
	build func() (func(context.Context) error, error)
}

// group runs roles and starts those again that fail, each on its own: one
// role's trouble never ends another.
type group struct {
	log *slog.Logger
	wg  sync.WaitGroup
}

const (
	firstDelay = 200 * time.Millisecond
	maxDelay   = 30 * time.Second
	soundRun   = time.Minute // a role that ran this long starts over with firstDelay
)

// start runs r until ctx ends.
func (g *group) start(ctx context.Context, r role) {
	g.wg.Go(func() {
		delay := firstDelay
		for ctx.Err() == nil {
			began := time.Now()
			err := runOnce(ctx, r)
			if ctx.Err() != nil {
				if err != nil {
					g.log.Warn("role ended with an error while stopping", "role", r.name, "err", err)
				}
				return
			}
			if time.Since(began) > soundRun {
				delay = firstDelay
			}
			g.log.Error("role ended, starting it again", "role", r.name, "err", err, "in", delay)
			t := time.NewTimer(delay)
			select {
			case <-ctx.Done():
				t.Stop()
			case <-t.C:
			}
			delay = min(2*delay, maxDelay)
		}
	})
}

func runOnce(ctx context.Context, r role) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in %s: %v\n%s", r.name, p, debug.Stack())
		}
	}()
	run, err := r.build()
	if err != nil {
		return err
	}
	return run(ctx)
}

// wait returns when every role is gone.
func (g *group) wait() { g.wg.Wait() }
