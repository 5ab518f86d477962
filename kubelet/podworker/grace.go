package podworker

import (
	"context"
	"sync"
	"time"
)

const (
	// atOnce is how many containers of a pod are stopped, or started, at once. All of them are in the hands of one
	// process, the runtime's shim, which is choked by more ends at a time than it can hold; and other pods want to
	// start too.
	atOnce = 16
	// apart is how long the stops after those are apart.
	apart = 100 * time.Millisecond
)

// pace hands out turns: some at once, then one at a time. The zero value is ready.
type pace struct {
	mu   sync.Mutex
	next time.Time // when the turn after atOnce more would be free
}

// take books the next turn and says how long it is until then.
func (p *pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if least := now.Add(-atOnce * apart); p.next.Before(least) {
		p.next = least
	}
	p.next = p.next.Add(apart)
	return max(p.next.Sub(now), 0)
}

// wait waits for a turn, or the end of ctx, and says how long that took.
func (p *pace) wait(ctx context.Context) time.Duration {
	d := p.take(time.Now())
	if d == 0 {
		return 0
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return d
}
