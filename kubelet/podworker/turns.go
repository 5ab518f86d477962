package podworker

import (
	"context"
	"time"
)

// atOnce is how many containers of a pod are told to stop, and how many are started, at once. All of them are in the
// hands of one process, the runtime's shim, which locks up when more of them end than it can hold (32, with the programs
// that send the signals) while it sends a signal; and other pods want to start too.
//
// signalled is how long telling takes at most. A container may use all of its grace period after that, and must not
// take it from those that are told after it: their periods begin when they are told, so that what outlives them is
// killed some at a time, too.
const (
	atOnce    = 8
	signalled = 2 * time.Second
)

// turns are places for what is done at once.
type turns chan struct{}

// take waits for a place, or the end of ctx.
func (t turns) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turns) leave() { <-t }
