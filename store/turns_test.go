package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/internal/bounds"
)

// TestTurns: of an account whose watchers are ready all at once few deliver at the same
// time, another's is served meanwhile, who does not come back is not waited for, and
// nobody is left out.
func TestTurns(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		const most, many = 8, 100
		c.store.turns.init(most)
		ctx := t.Context()
		greedy, stalled := make([]Watcher, many), make([]Watcher, many)
		for i := range many {
			greedy[i] = watchAs(t, c, "greedy", "a")
			stalled[i] = watchAs(t, c, "stalled", "a")
		}
		var mu sync.Mutex
		now, top, told := 0, 0, 0
		var wg sync.WaitGroup
		for _, w := range greedy {
			wg.Go(func() {
				if _, err := w.Next(ctx); err != nil {
					t.Error(err)
				}
				mu.Lock()
				now, told = now+1, told+1
				top = max(top, now)
				mu.Unlock()
				time.Sleep(time.Millisecond) // it delivers
				mu.Lock()
				now--
				mu.Unlock()
				w.Stop()
			})
		}
		for _, w := range stalled {
			wg.Go(func() {
				if _, err := w.Next(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := c.Create(ctx, pod("a", "p", "")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Create(ctx, pod("b", "p", "")); err != nil {
			t.Fatal(err)
		}
		other := watchAs(t, c, "other", "b", c.store.Revision()-1)
		began := time.Now()
		if _, err := other.Next(ctx); err != nil || time.Since(began) > 2*bounds.WatchTurn {
			t.Errorf("another's watch waited %v, %v", time.Since(began), err)
		}
		other.Stop()
		wg.Wait()
		if told != many || top > most/2 {
			t.Errorf("%d of %d were told, %d at once", told, many, top)
		}
		for _, w := range stalled {
			w.Stop()
		}
		tu := &c.store.turns
		if tu.held != 0 || len(tu.lines) != 0 || tu.holders.first != nil || tu.first != nil {
			t.Errorf("%d turns, %d lines stay", tu.held, len(tu.lines))
		}
	})
}

// TestTurnOfNobody: a watcher that has just stopped when a change wakes it gets no turn,
// which nobody would end.
func TestTurnOfNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		tu := &c.store.turns
		w := watchAs(t, c, "a", "a").(*watcher)
		w.Stop()
		tu.wake([]*watcher{w})
		if tu.held != 0 || len(tu.lines) != 0 || tu.holders.first != nil {
			t.Errorf("%d turns, %d lines stay", tu.held, len(tu.lines))
		}
		if _, err := w.Next(t.Context()); err == nil {
			t.Error("a stopped watch goes on")
		}
		w.Stop()
	})
}

func watchAs(t *testing.T, c *collection, account, namespace string, from ...int64) Watcher {
	t.Helper()
	o := WatchOptions{Account: account, Filter: Filter{Namespace: namespace}}
	if len(from) > 0 {
		o.From = from[0]
	}
	w, err := c.Watch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestTurnGivenUp: who goes while it waits for a turn, or is ended, leaves the line.
func TestTurnGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		c.store.turns.init(2)
		c.store.turns.moment = time.Hour
		holder, gone, ended := watchAs(t, c, "x", "a"), watchAs(t, c, "x", "a"), watchAs(t, c, "x", "a")
		if _, err := c.Create(t.Context(), pod("a", "p", "")); err != nil {
			t.Fatal(err)
		}
		if _, err := holder.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := gone.Next(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		gone.Stop()
		go func() {
			time.Sleep(time.Second)
			ended.(*watcher).end(ErrSlow)
		}()
		if _, err := ended.Next(t.Context()); err != ErrSlow {
			t.Error(err)
		}
		ended.Stop()
		holder.Stop()
		if tu := &c.store.turns; tu.held != 0 || len(tu.lines) != 0 {
			t.Errorf("%d turns, %d lines stay", tu.held, len(tu.lines))
		}
	})
}

// TestPace: writes into a namespace that a crowd watches go as fast as the crowd takes them,
// those elsewhere and those of the cluster itself as fast as ever. A crowd that takes
// nothing is not waited for, beyond the time for one.
func TestPace(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		c.store.turns.init(4)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range bounds.WatchCrowd {
			w := watchAs(t, c, "greedy", "a")
			wg.Go(func() {
				defer w.Stop()
				for {
					if _, err := w.Next(ctx); err != nil {
						return
					}
					time.Sleep(5 * time.Millisecond) // it delivers
				}
			})
		}
		n := 0
		write := func(ctx context.Context, namespace string) time.Duration {
			t.Helper()
			n++
			began := time.Now()
			if _, err := c.Create(ctx, pod(namespace, fmt.Sprint("p", n), "")); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		const round = bounds.WatchCrowd / 2 * 5 * time.Millisecond
		var paced time.Duration
		for range 20 {
			paced += write(Paced(ctx), "a")
			if d := write(Paced(ctx), "b") + write(ctx, "b"); d > time.Millisecond {
				t.Error("writes elsewhere took", d)
			}
		}
		if paced < 2*round || paced > 20*round {
			t.Errorf("20 writes took %v, one round of the watchers takes %v", paced, round)
		}
		if d := write(ctx, "a"); d > time.Millisecond {
			t.Error("the cluster's own write took", d)
		}
		cancel()
		wg.Wait()
	})
}

// TestPaceEnds: a crowd that never gets its turns makes nobody wait for good.
func TestPaceEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		for range bounds.WatchCrowd {
			defer watchAs(t, c, "greedy", "a").Stop()
		}
		for i := range 3 {
			began := time.Now()
			if _, err := c.Create(Paced(t.Context()), pod("a", fmt.Sprint("p", i), "")); err != nil || time.Since(began) > bounds.WatchPace {
				t.Errorf("a write took %v, %v", time.Since(began), err)
			}
		}
	})
}
