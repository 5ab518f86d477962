package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"hyperkube/store/etcd"
)

// member starts an etcd member that listens on url.
func member(t *testing.T, dir, url string) *etcd.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e, err := etcd.Start(ctx, etcd.Config{Dir: dir, Ephemeral: true, ListenClient: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

// TestRewound puts an etcd that never held anything in the place of one that
// did, under a running store: it must serve neither what it remembers nor what is
// there now, end its watchers, and say why.
func TestRewound(t *testing.T) {
	url := "unix://" + filepath.Join(t.TempDir(), "s")
	e := member(t, t.TempDir(), url)
	s := openStore(t, Options{Servers: []string{url}})
	c := pods(t, s)
	for _, name := range []string{"a", "b", "c"} {
		if _, err := c.Create(t.Context(), pod("default", name, "")); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Watch(t.Context(), WatchOptions{From: s.Revision()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	before := s.Revision()
	e.Stop()
	member(t, t.TempDir(), url)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := c.Create(ctx, pod("default", "new", "")); !errors.Is(err, ErrRewound) {
		t.Errorf("create: %v", err)
	}
	if _, err := w.Next(ctx); !errors.Is(err, ErrRewound) {
		t.Errorf("the watcher: %v", err)
	}
	for what, f := range map[string]Freshness{"consistent": {}, "any": {Any: true}, "not older": {Min: before}} {
		if _, err := c.Get(ctx, Key{Namespace: "default", Name: "a"}, f); !errors.Is(err, ErrRewound) {
			t.Errorf("%s read: %v", what, err)
		}
	}
	if _, err := c.Watch(ctx, WatchOptions{From: before}); !errors.Is(err, ErrRewound) {
		t.Errorf("watch: %v", err)
	}
	if err := s.Reachable(ctx); !errors.Is(err, ErrRewound) {
		t.Errorf("reachable: %v", err)
	}

	// Who is started anew has decided: it serves what is there. A client that still
	// knows the revisions of before starts again instead of waiting for them.
	after := openStore(t, Options{Servers: []string{url}})
	if _, err := pods(t, after).Get(ctx, Key{Namespace: "default", Name: "a"}, Freshness{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := pods(t, after).Watch(ctx, WatchOptions{From: before + 1000}); !errors.Is(err, ErrExpired) {
		t.Errorf("watch of a revision that never was: %v", err)
	}
}

// TestReachable follows an etcd that goes and comes back with its data.
func TestReachable(t *testing.T) {
	dir, url := t.TempDir(), "unix://"+filepath.Join(t.TempDir(), "s")
	e := member(t, dir, url)
	s := openStore(t, Options{Servers: []string{url}})
	if _, err := pods(t, s).Create(t.Context(), pod("default", "a", "")); err != nil {
		t.Fatal(err)
	}
	reach := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return s.Reachable(ctx)
	}
	if err := reach(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	e.Stop()
	if err := reach(500 * time.Millisecond); err == nil {
		t.Error("an etcd that is gone is reachable")
	}
	member(t, dir, url)
	if err := reach(20 * time.Second); err != nil {
		t.Error("back again:", err)
	}
	if _, err := pods(t, s).Get(t.Context(), Key{Namespace: "default", Name: "a"}, Freshness{}); err != nil {
		t.Error(err)
	}
}
