package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/store/backend"
	"hyperkube/store/seal"
)

// plant writes bytes under a key of a store's etcd, as somebody else would.
func plant(t *testing.T, s *Store, key, value string) int64 {
	t.Helper()
	expect := int64(0)
	if p, err := s.backend.Range(t.Context(), backend.Range{Start: key, End: key + "\x00"}); err != nil {
		t.Fatal(err)
	} else if len(p.KVs) > 0 {
		expect = p.KVs[0].Revision
	}
	rev, ok, err := s.backend.Write(t.Context(), backend.Write{Key: key, Value: []byte(value), Expect: expect})
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := s.await(t.Context(), rev, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	return rev
}

func listed(t *testing.T, c *collection) (out []string, unreadable int) {
	t.Helper()
	l, err := c.List(t.Context(), ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for e := range l.Entries {
		out = append(out, e.Key.Name)
	}
	return out, l.Unreadable
}

// TestUnreadable shows every answer about objects that cannot be read, found at
// the start and met later: never that they are absent.
func TestUnreadable(t *testing.T) {
	values := map[string]string{
		"garbage":       "hello",
		"cut":           "k8s\x00\x0a\x40",
		"other-version": `{"apiVersion":"v2","kind":"Pod","metadata":{"namespace":"a","name":"other-version"}}`,
		"other-kind":    `{"apiVersion":"v1","kind":"Node","metadata":{"name":"other-kind"}}`,
		"sealed":        "k8s:enc:aesgcm:v1:key:xxxx",
	}
	e := startEtcd(t)
	for _, when := range []string{"met", "found at start"} {
		t.Run(when, func(t *testing.T) {
			s := openStore(t, Options{Etcd: e, DetectMutation: true})
			c := pods(t, s)
			if when == "met" {
				if _, err := c.Create(t.Context(), pod("a", "good", "")); err != nil {
					t.Fatal(err)
				}
				for name, v := range values {
					plant(t, s, "/registry/pods/a/"+name, v)
				}
			}
			if got, n := listed(t, c); len(got) != 1 || got[0] != "good" || n != len(values) {
				t.Fatal("list", got, n)
			}
			for name := range values {
				key := Key{"a", name}
				for verb, call := range map[string]func() error{
					"get":       func() error { _, err := c.Get(t.Context(), key, Freshness{}); return err },
					"get any":   func() error { _, err := c.Get(t.Context(), key, Freshness{Any: true}); return err },
					"get exact": func() error { _, err := c.Get(t.Context(), key, Freshness{Exact: s.Revision()}); return err },
					"create":    func() error { _, err := c.Create(t.Context(), pod("a", name, "")); return err },
					"update":    func() error { _, err := c.Update(t.Context(), key, increment); return err },
					"delete":    func() error { _, err := c.Delete(t.Context(), key, nil); return err },
				} {
					err := call()
					var u *UnreadableError
					if !errors.Is(err, ErrUnreadable) || !errors.As(err, &u) || u.Path != "/registry/pods/a/"+name || u.Cause == nil {
						t.Errorf("%s %s: %v", verb, name, err)
					}
				}
			}
			if _, err := c.Get(t.Context(), Key{"a", "absent"}, Freshness{}); !errors.Is(err, ErrNotFound) {
				t.Error("absent:", err)
			}
			if when == "met" {
				return
			}
			discardAll(t, c, values)
		})
	}
}

func discardAll(t *testing.T, c *collection, values map[string]string) {
	if _, err := c.Discard(t.Context(), Key{"a", "good"}); !errors.Is(err, ErrExists) {
		t.Error("discarded what can be read:", err)
	}
	if _, err := c.Discard(t.Context(), Key{"a", "absent"}); !errors.Is(err, ErrNotFound) {
		t.Error("discarded nothing:", err)
	}
	for name := range values {
		if _, err := c.Discard(t.Context(), Key{"a", name}); err != nil {
			t.Fatal(name, err)
		}
		if _, err := c.Get(t.Context(), Key{"a", name}, Freshness{}); !errors.Is(err, ErrNotFound) {
			t.Error(name, err)
		}
		if _, err := c.Create(t.Context(), pod("a", name, "")); err != nil {
			t.Error(name, err)
		}
	}
	if got, n := listed(t, c); len(got) != len(values)+1 || n != 0 {
		t.Error(got, n)
	}
}

// TestUnreadableComesAndGoes follows one object through states that can and
// cannot be read.
func TestUnreadableComesAndGoes(t *testing.T) {
	s := openStore(t, Options{DetectMutation: true})
	c := pods(t, s)
	first, err := c.Create(t.Context(), pod("a", "p", ""))
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Watch(t.Context(), WatchOptions{From: first.Revision})
	if err != nil {
		t.Fatal(err)
	}
	good := `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"a","name":"p"}}`
	plant(t, s, "/registry/pods/a/p", "garbage")
	broken := plant(t, s, "/registry/pods/a/p", "other garbage")
	if _, err := c.Get(t.Context(), first.Key, Freshness{Exact: first.Revision}); err != nil {
		t.Error("the state before:", err)
	}
	back := plant(t, s, "/registry/pods/a/p", good)
	if e, err := c.Get(t.Context(), first.Key, Freshness{}); err != nil || e.Revision != back {
		t.Error(e, err)
	}
	if _, n := listed(t, c); n != 0 {
		t.Error("still counted", n)
	}
	plant(t, s, "/registry/pods/a/p", "garbage")
	if _, err := c.Discard(t.Context(), first.Key); err != nil {
		t.Fatal(err)
	}
	last := plant(t, s, "/registry/pods/a/p", good)
	var got []string
	for rev := int64(0); rev < last; {
		evs, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range evs {
			if ev.Revision <= rev {
				t.Error("event of revision", ev.Revision, "after", rev)
			}
			rev = ev.Revision
			got = append(got, string(ev.Type))
		}
	}
	if want := "DELETED ADDED DELETED ADDED"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v (unreadable at %d)", got, want, broken)
	}
}

// TestBatchesOnce puts events that bring no change before ones that do, in one
// batch: each change is published once.
func TestBatchesOnce(t *testing.T) {
	s := openStore(t, Options{})
	stored, err := pods(t, s).Create(t.Context(), pod("a", "p", ""))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.backend.Range(t.Context(), backend.Range{Start: "/registry/pods/a/p", End: "/registry/pods/a/p\x00"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // the loop is gone: the batches are ours
		t.Fatal(err)
	}
	good := p.KVs[0].Value
	event := func(name string, value []byte, rev int64) backend.Event {
		return backend.Event{KV: backend.KV{Key: []byte("/registry/pods/" + name), Value: value, Revision: rev}, Deleted: value == nil}
	}
	rev := stored.Revision
	for name, first := range map[string]backend.Event{
		"unreadable":     event("a/x", []byte("garbage"), rev+1),
		"malformed key":  event("x", good, rev+1),
		"unknown delete": event("a/unknown", nil, rev+1),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := s.newCollection(podResource())
			if err != nil {
				t.Fatal(err)
			}
			s.byPrefix["pods"] = c
			s.applied.Store(0)
			s.apply(backend.Events{Revision: rev + 4, Events: []backend.Event{
				first, event("a/p", good, rev+2), event("a/y", []byte("garbage"), rev+3), event("a/q", good, rev+4),
			}})
			changes, ok := c.ring.since(0)
			if !ok || len(changes) != 2 {
				t.Fatalf("%d changes in the ring, want 2", len(changes))
			}
			if n := c.snap.Load().tree.Len(); n != 2 || len(c.batch) != 0 || c.touched {
				t.Error(n, len(c.batch), c.touched)
			}
		})
	}
}

// TestLostKey: with a key lost, what it sealed is told and kept, and nothing is
// sealed beside it with another key; a single damaged value stops nobody.
func TestLostKey(t *testing.T) {
	e := startEtcd(t)
	right, wrong := newKeys(t), newKeys(t)
	s := openStore(t, Options{Etcd: e, Keys: right}, secretResource())
	c, _ := s.Collection("", "secrets")
	for i := range 3 {
		if _, err := c.Create(t.Context(), secret(fmt.Sprint("s", i))); err != nil {
			t.Fatal(err)
		}
	}
	without := openStore(t, Options{Etcd: e, Keys: wrong}, secretResource())
	lost, _ := without.Collection("", "secrets")
	if _, err := lost.Get(t.Context(), Key{"a", "s0"}, Freshness{}); !errors.Is(err, ErrUnreadable) || !errors.Is(err, seal.ErrNoKey) {
		t.Error(err)
	}
	if _, err := lost.Create(t.Context(), secret("new")); !errors.Is(err, ErrUnreadable) || !errors.Is(err, seal.ErrSealed) || !strings.Contains(err.Error(), "3 secrets") {
		t.Error("sealed beside what is lost:", err)
	}
	for i := range 3 {
		if _, err := lost.(Discarder).Discard(t.Context(), Key{"a", fmt.Sprint("s", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lost.Create(t.Context(), secret("new")); err != nil {
		t.Error("given up, and still refused:", err)
	}
	damaged := openStore(t, Options{Etcd: e, Keys: wrong}, secretResource())
	c, _ = damaged.Collection("", "secrets")
	p, err := damaged.backend.Range(t.Context(), backend.Range{Start: "/registry/secrets/a/new", End: "/registry/secrets/a/new\x00"})
	if err != nil {
		t.Fatal(err)
	}
	plant(t, damaged, "/registry/secrets/a/moved", string(p.KVs[0].Value))
	if _, err := c.Get(t.Context(), Key{"a", "moved"}, Freshness{}); !errors.Is(err, seal.ErrSealed) || errors.Is(err, seal.ErrNoKey) {
		t.Error(err)
	}
	if _, err := c.Create(t.Context(), secret("more")); err != nil {
		t.Error("one damaged value stops all:", err)
	}
}

// TestDefaults: what was stored without a field is read with its default, from
// the load, from the watch and at an old revision; once for each.
func TestDefaults(t *testing.T) {
	r, calls := podResource(), 0
	r.Default = func(o Object) {
		calls++
		if p := o.(*corev1.Pod); p.Spec.DNSPolicy == "" {
			p.Spec.DNSPolicy = corev1.DNSClusterFirst
		}
	}
	e := startEtcd(t)
	old := openStore(t, Options{Etcd: e})
	if _, err := pods(t, old).Create(t.Context(), pod("a", "loaded", "")); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, Options{Etcd: e, DetectMutation: true}, r)
	c := pods(t, s)
	plant(t, s, "/registry/pods/a/watched", `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"a","name":"watched"}}`)
	policy := func(name string, f Freshness) corev1.DNSPolicy {
		t.Helper()
		got, err := c.Get(t.Context(), Key{"a", name}, f)
		if err != nil {
			t.Fatal(err)
		}
		return got.Object.(*corev1.Pod).Spec.DNSPolicy
	}
	for _, name := range []string{"loaded", "watched"} {
		for range 3 {
			if got := policy(name, Freshness{}); got != corev1.DNSClusterFirst {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	if calls != 2 {
		t.Error("defaulted", calls, "times")
	}
	// An update that changes nothing else stores the default; the next one nothing.
	keep := func(e *Entry) (Object, error) { return e.Object.DeepCopyObject().(Object), nil }
	first, err := c.Update(t.Context(), Key{"a", "loaded"}, keep)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Update(t.Context(), Key{"a", "loaded"}, keep)
	if err != nil || again != first {
		t.Error("stored twice", err)
	}
	if p, err := pods(t, openStore(t, Options{Etcd: e})).Get(t.Context(), first.Key, Freshness{}); err != nil || p.Object.(*corev1.Pod).Spec.DNSPolicy != corev1.DNSClusterFirst {
		t.Error("the default was not stored", err)
	}
}

// slowBackend keeps reads and grants waiting, and knows whether it is called
// after it was closed.
type slowBackend struct {
	backend.Backend
	entered chan string
	release chan struct{}
	closed  chan struct{}
	late    chan string
}

func (b *slowBackend) hold(ctx context.Context, what string) error {
	b.entered <- what
	<-ctx.Done()
	<-b.release // the call takes its time to notice
	select {
	case <-b.closed:
		b.late <- what
	default:
	}
	return ctx.Err()
}

func (b *slowBackend) Current() (int64, bool) { return 0, false }
func (b *slowBackend) Revision(ctx context.Context) (int64, error) {
	return 0, b.hold(ctx, "revision")
}
func (b *slowBackend) Grant(ctx context.Context, _ int64) (int64, error) {
	return 0, b.hold(ctx, "grant")
}
func (b *slowBackend) Close() error { close(b.closed); return nil }

// TestCloseWaitsForCalls: the backend is closed when nobody uses it any more.
func TestCloseWaitsForCalls(t *testing.T) {
	b := &slowBackend{
		Backend: backend.NewEmbedded(startEtcd(t), false, false),
		entered: make(chan string, 2), release: make(chan struct{}), closed: make(chan struct{}), late: make(chan string, 2),
	}
	r := podResource()
	r.TTLSeconds = 10
	s := openStore(t, Options{backend: b}, r)
	c := pods(t, s)
	results := make(chan error, 2)
	go func() { _, err := c.Get(t.Context(), Key{"a", "b"}, Freshness{}); results <- err }()
	go func() { _, err := c.Create(t.Context(), pod("a", "b", "")); results <- err }()
	<-b.entered
	<-b.entered
	closing := make(chan error, 1)
	go func() { closing <- s.Close() }()
	for range 2 { // the callers are let go at once
		if err := <-results; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	select {
	case <-b.closed:
		t.Error("closed under running calls")
	case err := <-closing:
		t.Error("closed", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(b.release)
	if err := <-closing; err != nil {
		t.Error(err)
	}
	select {
	case what := <-b.late:
		t.Error("closed under", what)
	case <-b.closed:
	}
}

// TestLateRegister: a collection that is being loaded is found by nobody, and
// one that could not be loaded leaves its name free.
func TestLateRegister(t *testing.T) {
	b := &pausing{Backend: backend.NewEmbedded(startEtcd(t), false, true), entered: make(chan struct{}), release: make(chan error)}
	s := openStore(t, Options{backend: b}, secretPlain())
	b.prefix = "/registry/pods/"
	for _, fault := range []error{errFault, nil} {
		done := make(chan error, 1)
		go func() { done <- s.Register(podResource()) }()
		<-b.entered
		if _, ok := s.Collection("", "pods"); ok {
			t.Error("found before it is loaded")
		}
		b.release <- fault
		if err := <-done; !errors.Is(err, fault) {
			t.Fatal(err)
		}
	}
	if _, err := pods(t, s).Create(t.Context(), pod("a", "b", "")); err != nil {
		t.Error(err)
	}
	if err := s.Register(podResource()); err == nil {
		t.Error("registered twice")
	}
}

type pausing struct {
	backend.Backend
	prefix  string
	entered chan struct{}
	release chan error
}

func (b *pausing) Range(ctx context.Context, r backend.Range) (backend.Page, error) {
	if b.prefix != "" && strings.HasPrefix(r.Start, b.prefix) && r.Limit == loadPage {
		select {
		case b.entered <- struct{}{}:
		case <-ctx.Done():
		}
		select {
		case err := <-b.release:
			if err != nil {
				return backend.Page{}, err
			}
		case <-ctx.Done():
		}
	}
	return b.Backend.Range(ctx, r)
}

// TestInterruptKeepsErrors: the end of a watch that meets a request of Register
// is not taken for the interrupt.
func TestInterruptKeepsErrors(t *testing.T) {
	s := openStore(t, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w := &endingWatch{s: s, err: backend.ErrCompacted}
	if err := s.consume(t.Context(), w); !errors.Is(err, backend.ErrCompacted) {
		t.Error(err)
	}
	if w.calls != 2 {
		t.Error("asked", w.calls, "times")
	}
}

// endingWatch ends while it is being interrupted.
type endingWatch struct {
	backend.Watch
	s     *Store
	err   error
	calls int
}

func (w *endingWatch) Next(ctx context.Context) (backend.Events, error) {
	w.calls++
	(*w.s.interrupt.Load())()
	<-ctx.Done()
	if w.calls == 1 {
		return backend.Events{}, ctx.Err()
	}
	return backend.Events{}, w.err
}

// TestReadBeforeLoad: before the first load everything would seem absent.
func TestReadBeforeLoad(t *testing.T) {
	s, err := Open(t.Context(), Options{Etcd: startEtcd(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Register(podResource()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := pods(t, s).Get(ctx, Key{"a", "b"}, Freshness{Any: true}); errors.Is(err, ErrNotFound) || err == nil {
		t.Error(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pods(t, s).Get(t.Context(), Key{"a", "b"}, Freshness{Any: true}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
