package etcd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/store/backend"
)

// fill writes keys until etcd refuses, and returns how many it took.
func fill(t *testing.T, b backend.Backend, key func(i int) string) int {
	t.Helper()
	value := []byte(strings.Repeat("x", 256<<10))
	for i := range 1000 {
		rev := int64(0)
		if p, err := b.Range(t.Context(), backend.Range{Start: key(i), End: key(i) + "\x00"}); err != nil {
			t.Fatal(err)
		} else if len(p.KVs) > 0 {
			rev = p.KVs[0].Revision
		}
		_, _, err := b.Write(t.Context(), backend.Write{Key: key(i), Value: value, Expect: rev})
		if errors.Is(err, backend.ErrQuota) {
			if !errors.Is(err, backend.ErrFull) {
				t.Errorf("%v is no ErrFull", err)
			}
			return i
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("never full")
	return 0
}

func compacted(t *testing.T, b backend.Backend) {
	t.Helper()
	rev, err := b.Revision(t.Context())
	if err == nil {
		err = b.Compact(t.Context(), rev)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// relieved tries as often as rounds would: what a compaction frees is counted once it is committed.
func relieved(t *testing.T, b backend.Backend) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := b.Relieve(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		// bbolt counts what is free when something is committed: as in a cluster, deletions go on.
		p, err := b.Range(t.Context(), backend.Range{Start: "/k/", End: "/k0", Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range p.KVs {
			if _, _, err := b.Remove(t.Context(), string(kv.Key), kv.Revision); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(150 * time.Millisecond) // etcd commits ten times a second
	}
}

// armed waits for the alarm, which etcd raises beside the write that it refuses.
func armed(t *testing.T, s *Server) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if len(s.member.Load().etcd.Server.Alarms()) > 0 {
			return
		}
	}
	t.Fatal("no alarm")
}

// TestQuota: an etcd whose quota is used up takes writes again when there is room, and not before.
func TestQuota(t *testing.T) {
	s, err := begin(t, Config{Dir: filepath.Join(t.TempDir(), "data"), Quota: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	b := backend.NewEmbedded(s, true, true)
	if err := b.Relieve(t.Context()); err != nil {
		t.Errorf("with nothing to relieve: %v", err)
	}
	// History takes all: forgetting it is enough.
	fill(t, b, func(i int) string { return "/same" })
	armed(t, s)
	compacted(t, b)
	relieved(t, b)
	// Objects take all: nothing is enough but to delete some.
	// What bbolt had free by the way may be room for a few more at first.
	n, refused := 0, error(nil)
	for round := 0; refused == nil && round < 20; round++ {
		n += fill(t, b, func(i int) string { return fmt.Sprintf("/k/%d-%d", round, i) })
		armed(t, s)
		compacted(t, b)
		refused = b.Relieve(t.Context())
	}
	if !errors.Is(refused, backend.ErrQuota) || !strings.Contains(refused.Error(), "delete what is not needed") {
		t.Errorf("relieved above the quota: %v", refused)
	}
	if _, _, err := b.Write(t.Context(), backend.Write{Key: "/more", Value: []byte("x")}); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("a write above the quota: %v", err)
	}
	p, err := b.Range(t.Context(), backend.Range{Start: "/k/", End: "/k0"})
	if err != nil || len(p.KVs) < n {
		t.Fatal(len(p.KVs), err)
	}
	const kept = 24 // 6 MiB; a burst goes far beyond the quota before etcd counts it
	for _, kv := range p.KVs[kept:] {
		if _, ok, err := b.Remove(t.Context(), string(kv.Key), kv.Revision); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	compacted(t, b)
	relieved(t, b)
	if _, ok, err := b.Write(t.Context(), backend.Write{Key: "/more", Value: []byte("x")}); !ok || err != nil {
		t.Errorf("a write when there is room: %v", err)
	}
	if p, err := b.Range(t.Context(), backend.Range{Start: "/k/", End: "/k0"}); err != nil || len(p.KVs) == 0 {
		t.Errorf("no object is left: %v", err)
	}
}

// TestQuotaOfOthers: an etcd that somebody else runs is not touched, and who runs it is told the commands.
func TestQuotaOfOthers(t *testing.T) {
	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	s, err := begin(t, Config{Dir: filepath.Join(t.TempDir(), "data"), Quota: 16 << 20, ListenClient: []string{socket}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	b, err := backend.Dial(t.Context(), backend.DialOptions{Servers: []string{socket}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Relieve(t.Context()); err != nil {
		t.Errorf("with nothing to relieve: %v", err)
	}
	fill(t, b, func(int) string { return "/same" })
	armed(t, s)
	compacted(t, b)
	err = b.Relieve(t.Context())
	for _, want := range []string{"etcdctl --endpoints=" + socket + " defrag", "endpoint status", "alarm disarm"} {
		if !errors.Is(err, backend.ErrQuota) || !strings.Contains(err.Error(), want) {
			t.Errorf("told %v, want %q", err, want)
		}
	}
	if len(s.member.Load().etcd.Server.Alarms()) == 0 {
		t.Error("the alarm of somebody else's etcd was disarmed")
	}
}

// TestNoRoomToDefragment: a full disk is not filled further.
func TestNoRoomToDefragment(t *testing.T) {
	g := &guard{dir: "/d", statfs: func(string) (room, error) { return room{free: 1 << 30, total: 10 << 30, inodes: 1 << 20}, nil }}
	if err := g.spares(100 << 20); err != nil {
		t.Error(err)
	}
	var full *FullError
	if err := g.spares(900 << 20); !errors.As(err, &full) {
		t.Errorf("%v", err)
	}
	g.statfs = func(string) (room, error) { return room{}, context.Canceled }
	if err := g.spares(1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
