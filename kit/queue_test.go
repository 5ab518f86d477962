package kit

import (
	"context"
	"errors"
	"log/slog"
	"math/rand"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func one(string) string { return "" }

func TestQueueGivesAKeyToOneWorkerAtATime(t *testing.T) {
	q := newQueue(time.Millisecond, time.Second, nil, one)
	ctx := t.Context()
	q.Add("a")
	q.Add("a")
	if k, ok := q.Get(ctx); !ok || k != "a" {
		t.Fatalf("got %q", k)
	}
	q.Add("a") // while it is worked on
	if q.Len() != 0 {
		t.Error("a second worker could get the key")
	}
	q.Done("a")
	if q.Len() != 1 {
		t.Error("the key does not come again")
	}
}

func TestQueueDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10*time.Millisecond, time.Second, nil, one)
		start := time.Now()
		q.AddAfter("late", time.Hour)
		q.AddAfter("soon", time.Minute)
		q.AddAfter("late", 2*time.Minute) // the shortest counts
		for _, want := range []struct {
			key   string
			after time.Duration
		}{{"soon", time.Minute}, {"late", 2 * time.Minute}} {
			k, _ := q.Get(t.Context())
			if k != want.key || time.Since(start) != want.after {
				t.Errorf("%s after %s, want %s after %s", k, time.Since(start), want.key, want.after)
			}
			q.Done(k)
		}
		for _, want := range []time.Duration{10, 20, 40, 80} {
			at := time.Now()
			q.Retry("bad")
			k, _ := q.Get(t.Context())
			q.Done(k)
			if got := time.Since(at); got != want*time.Millisecond {
				t.Errorf("retry after %s, want %d ms", got, want)
			}
		}
		q.Forget("bad")
		if q.Failures("bad") != 0 {
			t.Error("failures are not forgotten")
		}
		q.close()
	})
}

// TestQueueLosesNothing: whatever is added is worked on after its last addition.
func TestQueueLosesNothing(t *testing.T) {
	q := newQueue(time.Microsecond, time.Millisecond, nil, func(k int) string { return strconv.Itoa(k % 3) })
	const keys, rounds = 20, 2000
	var mu sync.Mutex
	added, done := [keys]int{}, [keys]int{}
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	idle := make(chan struct{}, 1)
	for range 4 {
		workers.Go(func() {
			for {
				k, ok := q.Get(ctx)
				if !ok {
					return
				}
				mu.Lock()
				done[k] = added[k]
				mu.Unlock()
				q.Done(k)
				select {
				case idle <- struct{}{}:
				default:
				}
			}
		})
	}
	r := rand.New(rand.NewSource(1))
	for range rounds {
		k := r.Intn(keys)
		mu.Lock()
		added[k]++
		mu.Unlock()
		if r.Intn(4) == 0 {
			q.AddAfter(k, time.Duration(r.Intn(100))*time.Microsecond)
		} else {
			q.Add(k)
		}
	}
	deadline := time.After(10 * time.Second)
	for {
		mu.Lock()
		ok := added == done
		mu.Unlock()
		if ok {
			break
		}
		select {
		case <-idle:
		case <-deadline:
			t.Fatal("some keys were never worked on")
		}
	}
	cancel()
	workers.Wait()
}

func TestControllerRetriesContainsAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := map[string]int{}
		var mu sync.Mutex
		reg := prometheus.NewRegistry()
		c := NewController(ControllerOptions{
			Name: "test", Workers: 2, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(reg),
			Reconcile: func(_ context.Context, k Key) (Result, error) {
				mu.Lock()
				defer mu.Unlock()
				calls[k.Name]++
				switch k.Name {
				case "panics":
					if calls[k.Name] == 1 {
						panic("boom")
					}
				case "fails":
					if calls[k.Name] < 4 {
						return Result{}, errors.New("not yet")
					}
				case "hopeless":
					return Result{}, Terminal(errors.New("never"))
				case "again":
					if calls[k.Name] < 3 {
						return After(time.Minute), nil
					}
				}
				return Result{}, nil
			},
		})
		for _, n := range []string{"panics", "fails", "hopeless", "again", "plain"} {
			c.Add(Key{Name: n})
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Hour) // of the bubble's clock
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := map[string]int{"panics": 2, "fails": 4, "hopeless": 1, "again": 3, "plain": 1}
		for k, n := range want {
			if calls[k] != n {
				t.Errorf("%s: %d calls, want %d", k, calls[k], n)
			}
		}
		families, err := reg.Gather()
		if err != nil || len(families) != 7 {
			t.Errorf("%d metric families (%v), want the 7 of workqueue_*", len(families), err)
		}
	})
}

func TestSlowStartStopsGrowing(t *testing.T) {
	var mu sync.Mutex
	tried := 0
	done, err := SlowStart(t.Context(), 100, 1, func(_ context.Context, i int) error {
		mu.Lock()
		defer mu.Unlock()
		tried++
		if i >= 5 {
			return errors.New("quota")
		}
		return nil
	})
	if err == nil || done != 5 || tried != 7 {
		t.Errorf("%d done of %d tried, %v", done, tried, err)
	}
	if done, err := SlowStart(t.Context(), 10, 1, func(context.Context, int) error { return nil }); done != 10 || err != nil {
		t.Errorf("%d done, %v", done, err)
	}
}
