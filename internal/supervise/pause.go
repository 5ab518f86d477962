package supervise

import (
	"context"
	"time"
)

// Pause waits for d, which may be none, or until ctx ends; false says that it has ended.
func Pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Growth is how long the pauses between tries of the same thing are: First, then twice as long each time, never
// longer than Most.
type Growth struct{ First, Most time.Duration }

// After is the pause after so many failures in a row; none after none.
func (g Growth) After(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	d := g.First
	for range failures - 1 {
		if d >= g.Most/2 {
			return g.Most
		}
		d *= 2
	}
	return min(d, g.Most)
}

// Tries counts failures in a row of one thing that is tried until it succeeds. It is for one goroutine.
type Tries struct {
	Growth
	failures int
}

// Next counts a failure and is the pause that follows it.
func (t *Tries) Next() time.Duration {
	t.failures++
	return t.After(t.failures)
}

// Again counts a failure and pauses; false says that ctx has ended.
func (t *Tries) Again(ctx context.Context) bool { return Pause(ctx, t.Next()) }

// Well ends the row: the next failure is a first one.
func (t *Tries) Well() { t.failures = 0 }
