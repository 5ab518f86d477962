package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/store/backend"
)

// TestRemove: what is removed is found by nobody, answers nobody who still holds
// it, keeps nobody waiting, and is there again, with its objects, when it is
// registered anew.
func TestRemove(t *testing.T) {
	s := openStore(t, Options{Etcd: startEtcd(t), DetectMutation: true}, podResource(), secretPlain())
	ctx := t.Context()
	held := pods(t, s)
	if _, err := held.Create(ctx, pod("a", "b", "")); err != nil {
		t.Fatal(err)
	}
	w, err := held.Watch(ctx, WatchOptions{Initial: true})
	if err != nil {
		t.Fatal(err)
	}
	if evs, err := w.Next(ctx); err != nil || evs[0].Type != watch.Added {
		t.Fatal(evs, err)
	}
	if err := s.Remove("", "nothing"); !errors.Is(err, ErrNotFound) {
		t.Error("removed what is not there:", err)
	}
	if err := s.Remove("", "pods"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Collection("", "pods"); ok {
		t.Error("found after it was removed")
	}
	if _, err := w.Next(ctx); !errors.Is(err, ErrRemoved) || !errors.Is(err, ErrClosed) {
		t.Error("the watch goes on:", err)
	}
	for what, do := range map[string]func() error{
		"get":    func() error { _, err := held.Get(ctx, Key{"a", "b"}, Freshness{Any: true}); return err },
		"list":   func() error { _, err := held.List(ctx, ListOptions{}); return err },
		"watch":  func() error { _, err := held.Watch(ctx, WatchOptions{}); return err },
		"create": func() error { _, err := held.Create(ctx, pod("a", "c", "")); return err },
		"update": func() error {
			_, err := held.Update(ctx, Key{"a", "b"}, func(e *Entry) (Object, error) { return e.Object, nil })
			return err
		},
		"delete":  func() error { _, err := held.Delete(ctx, Key{"a", "b"}, nil); return err },
		"discard": func() error { _, err := held.Discard(ctx, Key{"a", "b"}); return err },
	} {
		if err := do(); !errors.Is(err, ErrRemoved) {
			t.Error(what, "answers:", err)
		}
	}
	if err := s.Remove("", "pods"); !errors.Is(err, ErrNotFound) {
		t.Error("removed twice:", err)
	}
	if err := s.Register(podResource()); err != nil {
		t.Fatal(err)
	}
	if _, err := pods(t, s).Get(ctx, Key{"a", "b"}, Freshness{}); err != nil {
		t.Error("what etcd has is not found again:", err)
	}
}

// TestReplace: the new collection has what etcd has, and the old one ends only when
// the new one is loaded.
func TestReplace(t *testing.T) {
	b := &pausing{Backend: backend.NewEmbedded(startEtcd(t), false, true), entered: make(chan struct{}), release: make(chan error)}
	s := openStore(t, Options{backend: b}, podResource(), secretPlain())
	ctx := t.Context()
	held := pods(t, s)
	if _, err := held.Create(ctx, pod("a", "b", "")); err != nil {
		t.Fatal(err)
	}
	other := podResource()
	other.Default = func(o Object) { o.SetLabels(map[string]string{"kept": "otherwise"}) }
	b.prefix = "/registry/pods/"
	for _, fault := range []error{errFault, nil} {
		done := make(chan error, 1)
		go func() { done <- s.Replace(other) }()
		<-b.entered
		if _, err := held.Get(ctx, Key{"a", "b"}, Freshness{Any: true}); err != nil {
			t.Error("the old one ended before the new one was loaded:", err)
		}
		b.release <- fault
		if err := <-done; !errors.Is(err, fault) {
			t.Fatal(err)
		}
		if _, err := held.Get(ctx, Key{"a", "b"}, Freshness{Any: true}); (err == nil) != (fault != nil) {
			t.Error("after", fault, err)
		}
	}
	e, err := pods(t, s).Get(ctx, Key{"a", "b"}, Freshness{})
	if err != nil || e.Object.GetLabels()["kept"] != "otherwise" {
		t.Error(e, err)
	}
	taken := podResource()
	taken.Prefix = secretPlain().Prefix
	if err := s.Replace(taken); err == nil {
		t.Error("took another's place in etcd")
	}
	unknown := podResource()
	unknown.Name = "unknown"
	if err := s.Replace(unknown); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestRemoveUnderWriters: every write that meets a removal ends, with its entry or with ErrRemoved.
func TestRemoveUnderWriters(t *testing.T) {
	s := openStore(t, Options{Etcd: startEtcd(t)}, secretPlain())
	for round := range 20 {
		if err := s.Register(podResource()); err != nil {
			t.Fatal(err)
		}
		c := pods(t, s)
		var wg sync.WaitGroup
		begun := make(chan struct{}, 8)
		for n := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					_, err := c.Create(context.WithoutCancel(t.Context()), pod("a", fmt.Sprintf("p-%d-%d-%d", round, n, i), ""))
					if i == 0 {
						begun <- struct{}{}
					}
					if errors.Is(err, ErrRemoved) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 8 {
			<-begun
		}
		if err := s.Remove("", "pods"); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
}
