package store

import (
	"context"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/store/backend"
)

// memory is a backend in a map, for tests in which time is not real.
type memory struct {
	mu   sync.Mutex
	rev  int64
	kvs  map[string]backend.KV
	feed chan backend.Events
}

func newMemory() *memory {
	return &memory{rev: 1, kvs: map[string]backend.KV{}, feed: make(chan backend.Events, 10_000)}
}

func (m *memory) Write(_ context.Context, w backend.Write) (int64, bool, error) {
	return m.change(w.Key, w.Expect, backend.Event{KV: backend.KV{Key: []byte(w.Key), Value: w.Value}})
}

func (m *memory) Remove(_ context.Context, key string, expect int64) (int64, bool, error) {
	return m.change(key, expect, backend.Event{KV: backend.KV{Key: []byte(key)}, Deleted: true})
}

func (m *memory) change(key string, expect int64, ev backend.Event) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kvs[key].Revision != expect {
		return m.rev, false, nil
	}
	m.rev++
	ev.Revision = m.rev
	if ev.Deleted {
		delete(m.kvs, key)
	} else {
		m.kvs[key] = ev.KV
	}
	m.feed <- backend.Events{Events: []backend.Event{ev}, Revision: m.rev}
	return m.rev, true, nil
}

func (m *memory) Range(_ context.Context, r backend.Range) (backend.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Revision > 0 && r.Revision < m.rev {
		return backend.Page{}, backend.ErrCompacted
	}
	p := backend.Page{Revision: m.rev}
	for k, kv := range m.kvs {
		if k >= r.Start && k < r.End {
			p.KVs = append(p.KVs, kv)
		}
	}
	sort.Slice(p.KVs, func(i, j int) bool { return string(p.KVs[i].Key) < string(p.KVs[j].Key) })
	return p, nil
}

func (m *memory) Revision(context.Context) (int64, error)                             { return m.rev, nil }
func (m *memory) Current() (int64, bool)                                              { return 0, true }
func (m *memory) Grant(context.Context, int64) (int64, error)                         { return 1, nil }
func (m *memory) Compact(context.Context, int64) error                                { return nil }
func (m *memory) Relieve(context.Context) error                                       { return nil }
func (m *memory) Close() error                                                        { return nil }
func (m *memory) Progress(context.Context) error                                      { return nil }
func (m *memory) Stop()                                                               {}
func (m *memory) Watch(context.Context, string, string, int64) (backend.Watch, error) { return m, nil }

func (m *memory) Next(ctx context.Context) (backend.Events, error) {
	select {
	case ev := <-m.feed:
		return ev, nil
	case <-ctx.Done():
		return backend.Events{}, ctx.Err()
	}
}

// inBubble runs f on a store whose time is the bubble's.
func inBubble(t *testing.T, f func(*testing.T, *collection)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Options{backend: newMemory()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Register(podResource()); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		f(t, pods(t, s))
	})
}

func TestBookmarks(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		w, err := c.Watch(ctx, WatchOptions{Bookmarks: true})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		began := time.Now()
		e, err := c.Create(ctx, pod("a", "b", ""))
		if err != nil {
			t.Fatal(err)
		}
		if evs, err := w.Next(ctx); err != nil || evs[0].Type != watch.Added {
			t.Fatal(evs, err)
		}
		for _, want := range []time.Duration{60 * time.Second, 120 * time.Second, 148 * time.Second} {
			evs, err := w.Next(ctx)
			if err != nil || len(evs) != 1 || evs[0].Type != watch.Bookmark || evs[0].Revision != e.Revision || evs[0].InitialEventsEnd {
				t.Fatal(evs, err)
			}
			if got := time.Since(began); got != want {
				t.Fatal("bookmark after", got, "instead of", want)
			}
		}
		if _, err := w.Next(ctx); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
	})
}

func TestRingKeepsWhatIsYoung(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		e, err := c.Create(t.Context(), pod("a", "b", ""))
		if err != nil {
			t.Fatal(err)
		}
		touch := func(n int) {
			for range n {
				if _, err := c.Update(t.Context(), e.Key, increment2); err != nil {
					t.Fatal(err)
				}
			}
		}
		touch(1000)
		if w, err := c.Watch(t.Context(), WatchOptions{From: e.Revision}); err != nil {
			t.Fatal("young events were lost:", err)
		} else {
			evs, err := w.Next(t.Context())
			if err != nil || len(evs) != initialChunk || evs[0].Revision != e.Revision+1 {
				t.Fatal(len(evs), err)
			}
			w.Stop()
		}
		time.Sleep(3 * ringSpan)
		synctest.Wait()
		if len(c.ring.buf) != ringMin || c.ring.n != ringMin || c.trimmer != nil {
			t.Error("ring did not shrink", len(c.ring.buf), c.ring.n)
		}
		if _, err := c.Watch(t.Context(), WatchOptions{From: c.store.Revision() - ringMin/2}); err != nil {
			t.Error("a few old events should stay:", err)
		}
		touch(100)
		if _, err := c.Watch(t.Context(), WatchOptions{From: e.Revision}); err != ErrExpired {
			t.Fatal("old events were kept:", err)
		}
		touch(2 * ringMax)
		if len(c.ring.buf) != ringMax {
			t.Error("bound of the ring", len(c.ring.buf))
		}
	})
}

func increment2(e *Entry) (Object, error) {
	o := e.Object.DeepCopyObject().(Object)
	o.SetGeneration(o.GetGeneration() + 1)
	return o, nil
}

func TestKeptSnapshotsExpire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *collection) {
		for _, n := range []string{"a", "b", "c"} {
			if _, err := c.Create(t.Context(), pod("a", n, "")); err != nil {
				t.Fatal(err)
			}
		}
		l, err := c.List(t.Context(), ListOptions{Limit: 1})
		if err != nil || l.Continue == "" {
			t.Fatal(err)
		}
		if _, err := c.Delete(t.Context(), Key{"a", "b"}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keptSpan / 2)
		if l, err = c.List(t.Context(), ListOptions{Limit: 1, Continue: l.Continue}); err != nil || names(l)[0] != "a/b@3" {
			t.Fatal(names(l), err)
		}
		time.Sleep(2 * keptSpan)
		synctest.Wait()
		if n := len(c.store.kept.list); n != 0 {
			t.Fatal("kept for ever", n)
		}
	})
}
