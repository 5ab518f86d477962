package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/store/backend"
)

var errFault = errors.New("injected fault")

// faulty is a backend that loses answers and breaks watches.
type faulty struct {
	backend.Backend
	rate  atomic.Int64 // of 100 writes that fail, half of them after they happened
	watch atomic.Pointer[faultyWatch]
	lost  atomic.Bool // the next Watch finds its revision compacted
	// breaking: a watch breaks by itself once it has brought some batches. Not
	// after a time: on a slow machine no watch would live to bring anything.
	breaking atomic.Bool
	broke    atomic.Int64
}

func (f *faulty) Current() (int64, bool) { return 0, false }

func (f *faulty) Write(ctx context.Context, w backend.Write) (int64, bool, error) {
	return f.fail(func() (int64, bool, error) { return f.Backend.Write(ctx, w) })
}

func (f *faulty) Remove(ctx context.Context, key string, expect int64) (int64, bool, error) {
	return f.fail(func() (int64, bool, error) { return f.Backend.Remove(ctx, key, expect) })
}

func (f *faulty) fail(do func() (int64, bool, error)) (int64, bool, error) {
	switch n := rand.Int64N(200); {
	case n < f.rate.Load():
		return 0, false, errFault
	case n < 2*f.rate.Load():
		_, _, _ = do()
		return 0, false, errFault
	}
	return do()
}

func (f *faulty) Watch(ctx context.Context, start, end string, from int64) (backend.Watch, error) {
	if f.lost.CompareAndSwap(true, false) {
		return nil, backend.ErrCompacted
	}
	w, err := f.Backend.Watch(ctx, start, end, from)
	if err != nil {
		return nil, err
	}
	fw := &faultyWatch{Watch: w, f: f, left: 1 + rand.IntN(30), broken: make(chan struct{})}
	f.watch.Store(fw)
	return fw, nil
}

func (f *faulty) breakWatch(lost bool) {
	f.lost.Store(lost)
	w := f.watch.Load()
	w.once.Do(func() { close(w.broken) })
}

type faultyWatch struct {
	backend.Watch
	f      *faulty
	left   int // batches until it breaks
	once   sync.Once
	broken chan struct{}
}

func (w *faultyWatch) Next(ctx context.Context) (backend.Events, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {})
	defer stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-w.broken:
			cancel()
		case <-done:
		}
	}()
	evs, err := w.Watch.Next(ctx)
	select {
	case <-w.broken:
		return backend.Events{}, errFault // what came is dropped
	default:
	}
	if err == nil && w.f.breaking.Load() {
		if w.left--; w.left < 0 {
			w.f.lost.Store(w.f.broke.Add(1)%3 == 0)
			return backend.Events{}, errFault
		}
	}
	return evs, err
}

func faultyStore(t *testing.T) (*Store, *faulty) {
	e := startEtcd(t)
	f := &faulty{Backend: backend.NewEmbedded(e, false, true)}
	return openStore(t, Options{backend: f, DetectMutation: true}), f
}

// TestFaults counts in objects while writes fail and watches break: no
// acknowledged write is lost, no writer hangs, every watcher either sees every
// revision or is told to start again.
func TestFaults(t *testing.T) {
	s, f := faultyStore(t)
	c := pods(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const keys, writers, rounds = 4, 8, 150
	for i := range keys {
		p := pod("a", fmt.Sprint("k", i), "")
		p.Annotations = map[string]string{"n": "0"}
		if _, err := c.Create(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	f.rate.Store(10)
	var acked, unsure [keys]atomic.Int64
	var writing, watching sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range rounds {
				i := rand.IntN(keys)
				before := acked[i].Load()
				_, err := c.Update(ctx, Key{"a", fmt.Sprint("k", i)}, increment)
				switch {
				case err == nil:
					acked[i].Add(1)
				case errors.Is(err, errFault):
					unsure[i].Add(1)
				default:
					t.Error(err)
					return
				}
				e, err := c.Get(ctx, Key{"a", fmt.Sprint("k", i)}, Freshness{})
				if err != nil || count(e) < before {
					t.Error("read older than what was acknowledged", err, before)
				}
			}
		})
	}
	stop := make(chan struct{})
	watching.Go(func() { checkContinuity(t, ctx, c, stop) })
	f.breaking.Store(true)
	writing.Wait()
	f.breaking.Store(false)
	if n := f.broke.Load(); n < 10 {
		t.Error("the watch broke only", n, "times")
	}
	f.rate.Store(0)
	for i := range keys {
		e, err := c.Update(ctx, Key{"a", fmt.Sprint("k", i)}, increment)
		if err != nil {
			t.Fatal(err)
		}
		got, low := count(e)-1, acked[i].Load()
		if got < low || got > low+unsure[i].Load() {
			t.Errorf("key %d: %d increments, acknowledged %d, unsure %d", i, got, low, unsure[i].Load())
		}
	}
	close(stop)
	if _, err := c.Update(ctx, Key{"a", "k0"}, increment); err != nil { // wakes the watcher
		t.Fatal(err)
	}
	watching.Wait()
	if n := s.pendings.n.Load(); n != 0 {
		t.Error("writes left pending", n)
	}
	if n := s.waiters.n.Load(); n != 0 {
		t.Error("reads left waiting", n)
	}
}

func increment(e *Entry) (Object, error) {
	p := e.Object.DeepCopyObject().(*corev1.Pod)
	p.Annotations["n"] = fmt.Sprint(count(e) + 1)
	return p, nil
}

func count(e *Entry) int64 {
	n, _ := strconv.ParseInt(e.Object.(*corev1.Pod).Annotations["n"], 10, 64)
	return n
}

// checkContinuity watches and demands that every counter goes up by one, until
// the watch says that something is missing and begins anew.
func checkContinuity(t *testing.T, ctx context.Context, c *collection, stop chan struct{}) {
	restarts := 0
	for {
		last := map[Key]int64{}
		w, err := c.Watch(ctx, WatchOptions{Initial: true})
		if err != nil {
			t.Error(err)
			return
		}
		for {
			evs, err := w.Next(ctx)
			if errors.Is(err, ErrExpired) {
				restarts++
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
			for _, ev := range evs {
				n, seen := last[ev.Entry.Key]
				if now := count(ev.Entry); seen && now != n+1 || seen != (ev.Type == watch.Modified) {
					t.Errorf("%s of %v from %d to %d", ev.Type, ev.Entry.Key, n, now)
				}
				last[ev.Entry.Key] = count(ev.Entry)
			}
			select {
			case <-stop:
				w.Stop()
				t.Log("watch began anew", restarts, "times")
				return
			default:
			}
		}
	}
}

func TestLoadKeepsWritersGoing(t *testing.T) {
	s, f := faultyStore(t)
	c := pods(t, s)
	w, err := c.Watch(t.Context(), WatchOptions{Initial: true, EndOfInitial: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.breakWatch(true)
	e, err := c.Create(t.Context(), pod("a", "b", ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(t.Context(), e.Key, Freshness{})
	if err != nil || got.Revision != e.Revision {
		t.Fatal(got, err)
	}
	for {
		if _, err = w.Next(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrExpired) {
		t.Fatal(err)
	}
	if _, err := c.Watch(t.Context(), WatchOptions{From: 1}); !errors.Is(err, ErrExpired) {
		t.Fatal("resume over a load:", err)
	}
}

func TestCancelledWriteLeavesNothing(t *testing.T) {
	s := openStore(t, Options{})
	c := pods(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Create(ctx, pod("a", "b", "")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if s.pendings.n.Load() != 0 || len(s.pendings.byKey) != 0 {
		t.Fatal("pending write left")
	}
}
