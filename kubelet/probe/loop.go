package probe

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/supervise"
)

// loop runs one probe. A startup probe ends with success (true) or with its final failure; a liveness probe ends
// with its failure, since the container is then replaced; a readiness probe ends with ctx.
func (p *Prober) loop(ctx context.Context, t Target, typ Type, spec *v1.Probe, sink Sink) bool {
	var count counter
	timer := time.NewTimer(max(0, time.Duration(spec.InitialDelaySeconds)*time.Second))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		began := time.Now()
		result, output := p.safely(ctx, t, spec)
		if ctx.Err() != nil {
			return false
		}
		if result == Warning {
			if sink.Warned != nil {
				sink.Warned(typ, output)
			}
			result = Success
		}
		if sink.Counted != nil {
			sink.Counted(typ, result, time.Since(began))
		}
		if result != Success {
			sink.Failed(typ, result == Unknown, output)
		}
		if count.see(result, spec) {
			sink.Changed(Update{ID: t.ID, Type: typ, OK: count.ok, Reason: output})
			if typ == Startup || (typ == Liveness && !count.ok) {
				return count.ok
			}
		}
		timer.Reset(max(period(spec)-time.Since(began), time.Millisecond))
	}
}

// safely is check for handlers that nobody thought of: a check that panics could not be made.
func (p *Prober) safely(ctx context.Context, t Target, spec *v1.Probe) (result Result, output string) {
	if err := supervise.Contain("probe", func() error {
		result, output = p.check(ctx, t, spec)
		return nil
	}); err != nil {
		return Unknown, err.Error()
	}
	return result, output
}

func period(spec *v1.Probe) time.Duration {
	return time.Duration(max(spec.PeriodSeconds, 1)) * time.Second
}

// counter applies thresholds: a verdict changes after enough equal results in a row.
type counter struct {
	last  Result
	run   int32
	known bool
	ok    bool
}

// see takes in a result and reports whether the verdict changed (the first verdict is a change).
// A check that could not be made counts for nothing.
func (c *counter) see(r Result, spec *v1.Probe) bool {
	if r == Unknown {
		return false
	}
	if r == c.last {
		c.run++
	} else {
		c.last, c.run = r, 1
	}
	if r == Success && c.run < spec.SuccessThreshold || r == Failure && c.run < max(spec.FailureThreshold, 1) {
		return false
	}
	if c.known && c.ok == (r == Success) {
		return false
	}
	c.known, c.ok = true, r == Success
	return true
}
