package supervise

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParts(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, x := range []struct {
		name string
		add  func(p *Parts)
		want string // of the error; empty: none
		at   time.Duration
	}{
		{"told to end", func(p *Parts) { p.Lasts("a", waits); p.Lasts("b", waits) }, "", time.Hour},
		{"one breaks", func(p *Parts) {
			p.Lasts("a", waits)
			p.Lasts("b", func(ctx context.Context) error { Pause(ctx, time.Second); return errors.New("broke") })
		}, "b: broke", time.Second},
		{"one panics", func(p *Parts) {
			p.Lasts("a", waits)
			p.Lasts("b", func(context.Context) error { panic("odd") })
		}, "b: panic in b: odd", 0},
		{"one that lasts ends well", func(p *Parts) {
			p.Lasts("a", waits)
			p.Lasts("b", func(context.Context) error { return nil })
		}, "b: ended before its time", 0},
		{"one may end", func(p *Parts) {
			p.Lasts("a", waits)
			p.Ends("b", func(context.Context) error { return nil })
		}, "", time.Hour},
		{"one that may end breaks", func(p *Parts) {
			p.Lasts("a", waits)
			p.Ends("b", func(context.Context) error { return errors.New("broke") })
		}, "b: broke", 0},
		{"only parts that end", func(p *Parts) { p.Ends("b", func(context.Context) error { return nil }) }, "", 0},
		{"the first reason counts", func(p *Parts) {
			p.Lasts("a", func(ctx context.Context) error { <-ctx.Done(); return errors.New("could not close") })
			p.Lasts("b", func(ctx context.Context) error { Pause(ctx, time.Second); return errors.New("broke") })
		}, "b: broke", time.Second},
		{"broken while ending", func(p *Parts) {
			p.Lasts("a", func(ctx context.Context) error { <-ctx.Done(); return errors.New("could not close") })
		}, "a: could not close", time.Hour},
		{"the cause passed on is no reason of its own", func(p *Parts) {
			p.Lasts("a", func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("a: %w", context.Cause(ctx)) })
		}, "", time.Hour},
		{"failed from outside", func(p *Parts) { p.Lasts("a", waits); p.Fail("link", errors.New("gone")) }, "link: gone", 0},
		{"stopped", func(p *Parts) { p.Lasts("a", waits); p.Stop() }, "", 0},
		{"one adds another", func(p *Parts) {
			p.Lasts("a", func(ctx context.Context) error {
				p.Lasts("b", func(context.Context) error { return errors.New("late") })
				return waits(ctx)
			})
		}, "b: late", 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				p := NewParts(ctx)
				x.add(p)
				err := p.Wait()
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != x.want || time.Since(began) != x.at {
					t.Errorf("%q after %v, want %q after %v", got, time.Since(began), x.want, x.at)
				}
				if p.Context().Err() == nil {
					t.Error("its context lives on")
				}
			})
		})
	}
}

func TestGrowth(t *testing.T) {
	g := Growth{First: 50 * time.Millisecond, Most: time.Second}
	var got []string
	for n := range 8 {
		got = append(got, g.After(n).String())
	}
	if s := strings.Join(got, " "); s != "0s 50ms 100ms 200ms 400ms 800ms 1s 1s" {
		t.Error(s)
	}
	for _, n := range []int{-1, 1 << 40} {
		if d := g.After(n); n < 0 && d != 0 || n > 0 && d != time.Second {
			t.Errorf("after %d: %v", n, d)
		}
	}
	if d := (Growth{First: time.Minute, Most: time.Second}).After(1); d != time.Second {
		t.Errorf("a first beyond the most: %v", d)
	}
}

func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		tries := Tries{Growth: Growth{First: time.Second, Most: 4 * time.Second}}
		began := time.Now()
		for _, want := range []time.Duration{1, 3, 7, 11} {
			if !tries.Again(ctx) || time.Since(began) != want*time.Second {
				t.Errorf("at %v, want %v s", time.Since(began), want)
			}
		}
		tries.Well()
		if d := tries.Next(); d != time.Second {
			t.Errorf("after success: %v", d)
		}
		cancel()
		if tries.Again(ctx) || time.Since(began) != 11*time.Second {
			t.Error("paused though its context had ended")
		}
	})
}
