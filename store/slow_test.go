package store

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
)

func large(e *Entry) (Object, error) {
	p := e.Object.DeepCopyObject().(*corev1.Pod)
	p.Annotations = map[string]string{"n": fmt.Sprint(count(e) + 1), "bulk": strings.Repeat("x", 100_000)}
	return p, nil
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSlowReadersCost lets 200 readers stand still, at the initial state and
// behind it, while large objects change: what they keep is bounded by bytes.
func TestSlowReadersCost(t *testing.T) {
	s := openStore(t, Options{backend: newMemory()}) // etcd's own memory is not what is measured
	c := pods(t, s)
	const objects, changes = 10, 2000
	for i := range objects {
		if _, err := c.Create(t.Context(), pod("a", fmt.Sprint("p", i), "")); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	var ws []Watcher
	for n := range changes {
		if n%10 == 0 && len(ws) < 200 {
			w, err := c.Watch(t.Context(), WatchOptions{Initial: len(ws)%2 == 0})
			if err != nil {
				t.Fatal(err)
			}
			ws = append(ws, w)
		}
		if _, err := c.Update(t.Context(), Key{"a", fmt.Sprint("p", n%objects)}, large); err != nil {
			t.Fatal(err)
		}
	}
	kept := heap() - before
	t.Log("kept", kept>>20, "MiB")
	if most := int64(bounds.HistoryBytes + 2*bounds.WatchBytes + 20<<20); kept > most {
		t.Errorf("%d MiB are kept, want at most %d", kept>>20, most>>20)
	}
	slow := 0
	for _, w := range ws {
		w := w.(*watcher)
		w.mu.Lock()
		if w.bytes > bounds.WatchBytes || w.err != nil && (w.state != nil || w.queue != nil || w.backlog != nil) {
			t.Error("keeps", w.bytes, "ended by", w.err)
		}
		if errors.Is(w.err, ErrSlow) {
			slow++
		}
		w.mu.Unlock()
		w.Stop()
	}
	if slow < 180 {
		t.Error("only", slow, "were ended")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for i := range c.ring.n {
		sum += c.ring.at(i).c.weight()
	}
	if sum != c.ring.bytes || sum > bounds.HistoryBytes {
		t.Error("history of", sum, "counted as", c.ring.bytes)
	}
}

// TestStalledReader: one that takes nothing for a while is ended by the next
// event; one that takes now and then, or had nothing to take, is not.
func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, Options{backend: newMemory(), Compaction: -1})
		c := pods(t, s)
		open := func() Watcher {
			w, err := c.Watch(t.Context(), WatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		stalled, steady := open(), open()
		defer steady.Stop()
		for i := range 10 {
			if _, err := c.Create(t.Context(), pod("a", fmt.Sprint("p", i), "")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(bounds.WatchStall / 4)
			if _, err := steady.Next(t.Context()); err != nil {
				t.Fatal("steady", err)
			}
		}
		if _, err := stalled.Next(t.Context()); !errors.Is(err, ErrSlow) {
			t.Error("stalled:", err)
		}
		late := open()
		defer late.Stop()
		time.Sleep(10 * bounds.WatchStall)
		if _, err := c.Create(t.Context(), pod("a", "late", "")); err != nil {
			t.Fatal(err)
		}
		if _, err := late.Next(t.Context()); err != nil {
			t.Error("nothing to take is no stall:", err)
		}
	})
}

// TestLargeEvent: an event larger than the queue's bound is delivered.
func TestLargeEvent(t *testing.T) {
	w := &watcher{wake: make(chan struct{}, 1)}
	if first, ok := w.push(Event{Entry: &Entry{size: 2 * bounds.WatchBytes}}, 0); !first || !ok {
		t.Error(first, ok)
	}
	if _, ok := w.push(Event{Entry: &Entry{size: 1}}, 0); ok {
		t.Error("more waits than may")
	}
}
