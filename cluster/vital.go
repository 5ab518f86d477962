package cluster

import (
	"context"
	"errors"
	"fmt"

	"hyperkube/internal/supervise"
)

// vital runs a part that the others hold on to, so that it cannot be started anew alone:
// when it ends before its time, run ends, and whoever keeps the process starts all again.
func (c *control) vital(ctx context.Context, name string, run func() error) {
	c.roles.Go(name, func() {
		err := supervise.Contain(name, run)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended without an error")
		}
		var p *supervise.Panic
		if errors.As(err, &p) {
			c.log.Error("vital part panicked", "part", name, "err", err, "stack", string(p.Stack))
		}
		select {
		case c.ended <- fmt.Errorf("%s ended: %w", name, err):
		default: // one cause is enough
		}
	})
}

// either waits for what does not return when a vital part ends.
func (c *control) either(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case err := <-c.ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// whyEtcdEnded waits for the end of the member, which starts again by itself as long as this
// process can reach the data. One that was stopped because the API server has ended says
// nothing: what ended that is the reason.
func whyEtcdEnded(ctx context.Context, member interface {
	Done() <-chan struct{}
	Err() error
}, served <-chan struct{}) error {
	select {
	case <-member.Done():
	case <-ctx.Done():
		return nil
	}
	if err := member.Err(); err != nil {
		return err
	}
	select {
	case <-served:
		<-ctx.Done()
		return nil
	default:
		return errors.New("the member stopped by itself")
	}
}
