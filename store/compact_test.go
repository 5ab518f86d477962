package store

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hyperkube/store/backend"
	"hyperkube/store/etcd"
)

// served is an etcd that two API servers share, one beside it and one elsewhere.
func served(t *testing.T) (near, far Options) {
	t.Helper()
	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	e, err := etcd.Start(t.Context(), etcd.Config{Dir: t.TempDir(), Ephemeral: true, ListenClient: []string{socket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return Options{Etcd: e}, Options{Servers: []string{socket}}
}

// TestCompactionTurns plays rounds of two servers on one etcd: one compacts in
// each, a round behind, and the other takes over when it is gone.
func TestCompactionTurns(t *testing.T) {
	nearOptions, farOptions := served(t)
	near, far := openStore(t, nearOptions), openStore(t, farOptions)
	type server struct {
		*Store
		*compactor
	}
	a, b := server{near, &compactor{}}, server{far, &compactor{}}
	play := func(s server) int64 {
		t.Helper()
		rev, err := s.round(t.Context(), s.backend)
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	kept := func(rev int64) bool {
		t.Helper()
		_, err := b.backend.Range(t.Context(), backend.Range{Start: "/registry/", End: "/registry0", Revision: rev, Limit: 1})
		if err != nil && !errors.Is(err, backend.ErrCompacted) {
			t.Fatal(err)
		}
		return err == nil
	}
	write := func() int64 { return plant(t, near, "/registry/pods/a/x", "y") }
	first := write()
	if play(a) != 0 || play(b) != 0 {
		t.Fatal("compacted in the first round")
	}
	second := write()
	if !kept(first) {
		t.Fatal("forgot before a round is over")
	}
	if rev := play(a); rev < first || rev >= second {
		t.Fatal("compacted to", rev, "want what was there at the last look, between", first, "and", second)
	}
	if play(b) != 0 {
		t.Fatal("both compacted")
	}
	if kept(first) || !kept(second) {
		t.Fatal("kept", kept(first), kept(second))
	}
	third := write() // a is gone: b loses nothing to anybody
	if rev := play(b); rev < second || rev >= third {
		t.Fatal("compacted to", rev)
	}
	if kept(first) || !kept(third) {
		t.Fatal("kept", kept(first), kept(third))
	}
	if play(a) != 0 {
		t.Fatal("a server that was away compacted with what it knew long ago")
	}
	// The key is where others look for it.
	p, err := b.backend.Range(t.Context(), backend.Range{Start: "compact_rev_key", End: "compact_rev_key\x00"})
	if err != nil || len(p.KVs) != 1 {
		t.Fatal(p, err)
	}
	if rev, err := strconv.ParseInt(string(p.KVs[0].Value), 10, 64); err != nil || rev < second {
		t.Error(rev, err)
	}
}

// TestCompactionRuns: a store forgets etcd's history by itself, embedded and
// elsewhere, unless it is told not to.
func TestCompactionRuns(t *testing.T) {
	for name, pick := range map[string]func(near, far Options) Options{
		"embedded":  func(near, _ Options) Options { return near },
		"elsewhere": func(_, far Options) Options { return far },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := pick(served(t))
			o.Compaction = 20 * time.Millisecond
			s := openStore(t, o)
			first := plant(t, s, "/registry/pods/a/x", "y")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for {
				_, err := s.backend.Range(ctx, backend.Range{Start: "/", End: "0", Revision: first, Limit: 1})
				if errors.Is(err, backend.ErrCompacted) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				plant(t, s, "/registry/pods/a/x", "y")
			}
		})
	}
	never := openStore(t, Options{Compaction: -1})
	never.compact(t.Context()) // returns
}

// TestQuotaIsRelieved: a cluster whose history has used up etcd's quota comes back by itself.
func TestQuotaIsRelieved(t *testing.T) {
	e, err := etcd.Start(t.Context(), etcd.Config{Dir: t.TempDir(), Quota: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	s := openStore(t, Options{Etcd: e, Compaction: 3 * time.Second})
	w := backend.Write{Key: "/registry/big", Value: make([]byte, 512<<10)}
	full := false
	for deadline := time.Now().Add(time.Minute); ; {
		rev, ok, err := s.backend.Write(t.Context(), w)
		switch {
		case errors.Is(err, backend.ErrQuota):
			full = true
			time.Sleep(10 * time.Millisecond)
		case err != nil || !ok:
			t.Fatal(ok, err)
		case full:
			return
		default:
			w.Expect = rev
		}
		if full { // what was refused may have been written by the way
			p, err := s.backend.Range(t.Context(), backend.Range{Start: w.Key, End: w.Key + "\x00"})
			if err != nil {
				t.Fatal(err)
			}
			w.Expect = p.KVs[0].Revision
		}
		if time.Now().After(deadline) {
			t.Fatalf("full %v, and not relieved", full)
		}
	}
}
