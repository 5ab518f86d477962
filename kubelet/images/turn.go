package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hyperkube/internal/bounds"
)

// patience is how long a pull may keep others waiting. One that takes longer goes on beside them: a registry that
// sends a byte now and then is not to keep a node from all others.
const patience = 20 * time.Second

// errSlow ends a pull when too many others take long already; it is tried again.
var errSlow = errors.New("too many slow pulls")

// turn is a pull under way.
type turn struct {
	p         *Puller
	name      string
	namespace string // of who asked for it
	done      chan struct{}
	leave     func() // gives up the place it has; nil for none
}

// run pulls, and makes way when that takes long.
func (t *turn) run(ctx context.Context, pull func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	moved := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(moved)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-ended:
			return
		case <-timer.C:
		}
		if leave := t.p.slow.join(t.namespace, func() { cancel(errSlow) }); leave != nil {
			t.leave()
			t.leave = leave
		}
	}()
	err := pull(ctx)
	close(ended)
	<-moved
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return fmt.Errorf("%w: %d of this node take more than %v", errSlow, bounds.SlowPulls, patience)
	}
	return err
}

// end gives the place back and lets the next pull of the image begin.
func (t *turn) end() {
	t.p.mu.Lock()
	delete(t.p.pulls, t.name)
	t.p.mu.Unlock()
	close(t.done)
	if t.leave != nil {
		t.leave()
	}
}
