package supervise

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A role that fails, panics or simply returns is started again with backoff, the others go on.
func TestStartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		g := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Registry: reg})
		ctx, cancel := context.WithCancel(t.Context())
		ends := []func() error{
			func() error { return errors.New("broke") },
			func() error { panic("odd input") },
			func() error { return nil },
		}
		var starts []time.Duration
		began := time.Now()
		g.Start(ctx, Role{"weak", func() (func(context.Context) error, error) {
			n := len(starts)
			starts = append(starts, time.Since(began))
			return func(ctx context.Context) error {
				if n < len(ends) {
					return ends[n]()
				}
				<-ctx.Done()
				return ctx.Err()
			}, nil
		}})
		strong := 0
		g.Start(ctx, Role{"strong", func() (func(context.Context) error, error) {
			strong++
			return func(ctx context.Context) error { <-ctx.Done(); return nil }, nil
		}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want := []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond}
		if len(starts) != len(want) {
			t.Fatalf("started at %v, want %v", starts, want)
		}
		for i := range want {
			if starts[i] != want[i] {
				t.Errorf("start %d at %v, want %v", i, starts[i], want[i])
			}
		}
		if strong != 1 {
			t.Errorf("the other role was started %d times", strong)
		}
		for _, w := range []string{"broke", "panic in weak: odd input", "ended without an error", "supervise_test.go"} {
			if !strings.Contains(log.String(), w) {
				t.Errorf("the log does not tell %q:\n%s", w, log.String())
			}
		}
		if n := value(t, reg, "hyperkube_role_restarts_total", "weak"); n != 3 {
			t.Errorf("counted %v restarts, want 3", n)
		}
		cancel()
		g.Wait()
		if n := value(t, reg, "hyperkube_role_running", "strong"); n != 0 {
			t.Errorf("a role that is gone counts as running")
		}
	})
}

// A long run starts over with the first delay.
func TestSoundRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		var starts []time.Time
		g.Start(ctx, Role{"slow", func() (func(context.Context) error, error) {
			starts = append(starts, time.Now())
			return func(ctx context.Context) error {
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
				}
				return errors.New("ended")
			}, nil
		}})
		time.Sleep(5 * time.Minute)
		cancel()
		g.Wait()
		for i := 1; i < len(starts); i++ {
			if d := starts[i].Sub(starts[i-1]); d != time.Minute+200*time.Millisecond {
				t.Errorf("start %d came %v after the one before", i, d)
			}
		}
		if len(starts) < 4 {
			t.Errorf("only %d starts", len(starts))
		}
	})
}

// value is a metric's value for one role.
func value(t *testing.T, reg *prometheus.Registry, name, role string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == role {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no %s of %s", name, role)
	return 0
}

// TestEnded: while a role waits to be started again its reason can be asked for.
func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{Log: slog.New(slog.DiscardHandler), Backoff: Backoff{Growth: Growth{First: time.Second, Most: time.Minute}, Sound: time.Minute}})
		ctx, cancel := context.WithCancel(t.Context())
		var well atomic.Bool
		for _, name := range []string{"b", "a"} {
			g.Start(ctx, Role{name, func() (func(context.Context) error, error) {
				return func(ctx context.Context) error {
					if !well.Load() {
						return errors.New("no room")
					}
					<-ctx.Done()
					return nil
				}, nil
			}})
		}
		synctest.Wait()
		if err := g.Ended(); err == nil || err.Error() != "a ended: no room\nb ended: no room" {
			t.Errorf("ended: %v", err)
		}
		well.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := g.Ended(); err != nil {
			t.Errorf("they run: %v", err)
		}
		cancel()
		g.Wait()
	})
}
