package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/store/backend"
)

func TestLimits(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		total uint64
		want  limits
	}{
		{400 << 20, limits{96 << 20, 24 << 20, 400 << 20 / 32}},
		{10 * gib, limits{10 * gib / 50, 10 * gib / 200, 32 << 20}},
		{4000 * gib, limits{512 << 20, 128 << 20, 32 << 20}},
	} {
		if got := limitsOf(c.total); got != c.want {
			t.Errorf("%d: %+v, want %+v", c.total, got, c.want)
		}
	}
}

// TestLevels walks through the free space of a disk: down it changes at the
// limits, up a good way above them.
func TestLevels(t *testing.T) {
	l := limitsOf(400 << 20)
	at, all := plenty, uint64(math.MaxUint64)
	for i, step := range []struct {
		free, inodes uint64
		want         level
	}{
		{200 << 20, all, plenty}, {96 << 20, all, plenty}, {95 << 20, all, short}, {97 << 20, all, short}, {108 << 20, all, plenty},
		{24 << 20, all, short}, {23 << 20, all, none}, {25 << 20, all, none}, {36 << 20, all, short}, {35 << 20, all, short},
		{10, all, none}, {200 << 20, all, plenty}, {200 << 20, 63, none}, {200 << 20, 64, plenty},
	} {
		if at = l.next(at, room{free: step.free, total: 400 << 20, inodes: step.inodes}); at != step.want {
			t.Errorf("step %d, %d MiB free: %v, want %v", i, step.free>>20, at, step.want)
		}
	}
}

// TestAdmit shows every answer of the guard.
func TestAdmit(t *testing.T) {
	var now room
	g := newGuard("/data", false, slog.New(slog.DiscardHandler))
	g.statfs = func(string) (room, error) { return now, nil }
	for _, c := range []struct {
		free, inodes   uint64
		write, removal string // part of the refusal
	}{
		{200 << 20, 1000, "", ""},
		{50 << 20, 1000, "50 MiB left of the 96 MiB", ""},
		{3 << 20, 1000, "3 MiB left of the 96 MiB", "3 MiB left of the 96 MiB"},
		{200 << 20, 0, "more files (inodes)", "more files (inodes)"},
		{200 << 20, 1000, "", ""},
	} {
		now = room{free: c.free, total: 400 << 20, inodes: c.inodes}
		g.tick()
		for removal, want := range map[bool]string{false: c.write, true: c.removal} {
			err := g.admit(10, removal)
			switch {
			case want == "" && err == nil:
			case want == "" || err == nil:
				t.Errorf("%d MiB, removal %v: %v", c.free>>20, removal, err)
			case !errors.Is(err, backend.ErrFull) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/data"):
				t.Errorf("%d MiB, removal %v: %v, want %q", c.free>>20, removal, err, want)
			}
		}
	}
	g.statfs = func(string) (room, error) { return room{}, fmt.Errorf("gone") }
	g.tick()
	if err := g.admit(10, false); err != nil {
		t.Error("a file system that does not answer stops writes:", err)
	}
}

// TestLooksWhenWritten: a disk that fills up is found by the writes themselves.
func TestLooksWhenWritten(t *testing.T) {
	looks := 0
	g := newGuard("/data", false, slog.New(slog.DiscardHandler))
	g.statfs = func(string) (room, error) {
		looks++
		return room{free: 1 << 20, total: 400 << 20, inodes: 1000}, nil
	}
	for range 1000 {
		if err := g.admit(1, false); !errors.Is(err, backend.ErrFull) {
			t.Fatal(err)
		}
	}
	if most := 2 + int(time.Since(g.began)/lookEvery); looks < 1 || looks > most {
		t.Error(looks, "looks, want at most", most)
	}
}

// TestReserve: the reserve takes real room, is given up when there is none, and
// comes back.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	now := room{free: 300 << 20, total: 320 << 20, inodes: 1000}
	g := newGuard(dir, true, slog.New(slog.DiscardHandler))
	g.statfs = func(string) (room, error) { return now, nil }
	for _, want := range []bool{true, false, true} {
		g.tick()
		info, err := os.Stat(filepath.Join(dir, "reserve"))
		if want != (err == nil) || want && info.Size() != 10<<20 {
			t.Fatal("reserve", info, err)
		}
		if want {
			now.free = 1 << 20
		} else {
			now.free = 300 << 20
		}
	}
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(g.reserve()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, g.reserve()); err != nil {
		t.Fatal(err)
	}
	g.tick()
	now.free = 1
	g.tick()
	if data, err := os.ReadFile(target); err != nil || string(data) != "mine" {
		t.Error("a link was followed", err)
	}
}

func TestRepeats(t *testing.T) {
	r := &repeats{last: map[string]*repeat{}}
	at := time.Unix(0, 0)
	told := 0
	for range 600 { // ten minutes of one a second
		if ok, _ := r.tell("x", at); ok {
			told++
		}
		at = at.Add(time.Second)
	}
	if told < 3 || told > 7 {
		t.Error("told", told, "times")
	}
	if ok, hidden := r.tell("y", at); !ok || hidden != 0 {
		t.Error("another message is hidden")
	}
	for i := range 10 * repeatsKept {
		r.tell(fmt.Sprint(i), at)
	}
	if len(r.last) > repeatsKept {
		t.Error("table of", len(r.last))
	}
}
