package logs

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// appender writes to a log as a runtime does: into the open file until it is told to reopen.
type appender struct {
	t    testing.TB
	path string

	mu      sync.Mutex
	f       *os.File
	largest int64
	turns   int
}

func (a *appender) reopen(context.Context, string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.f != nil {
		if info, err := a.f.Stat(); err == nil {
			a.largest = max(a.largest, info.Size())
		}
		a.f.Close()
		a.turns++
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	a.f = f
	return err
}

func (a *appender) write(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.f.Write(b); err != nil {
		a.t.Error(err)
	}
}

// TestFastWriter: a writer of 100 MB a second that begins out of the blue never gets a file of twice the limit.
func TestFastWriter(t *testing.T) {
	const limit = 10 << 20
	a := &appender{t: t, path: filepath.Join(t.TempDir(), "0.log")}
	if err := a.reopen(nil, ""); err != nil {
		t.Fatal(err)
	}
	r := NewRotator(limit, 3)
	r.Log, r.Reopen, r.Files = slog.New(slog.DiscardHandler), a.reopen, func() []File { return []File{{"x", a.path}} }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()

	const piece, each = 100 << 10, time.Millisecond
	tick := time.NewTicker(each)
	defer tick.Stop()
	data := make([]byte, piece)
	for total := 0; total < 60<<20; total += piece {
		<-tick.C
		a.write(data)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if a.turns < 3 || a.largest > 2*limit {
		t.Errorf("%d rotations, largest file %d", a.turns, a.largest)
	}
	if n := len(Rotated(a.path)); n > 4 {
		t.Errorf("%d rotated files", n)
	}
}

// TestNamesOfOneSecond: rotations within a second do not overwrite each other and keep their order.
func TestNamesOfOneSecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	var made []string
	for i := range 3 {
		name := rotatedName(path, at.Add(time.Duration(i)*time.Millisecond))
		made = append(made, name)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, got := range Rotated(path) {
		if got != made[i] {
			t.Errorf("%d: %s, want %s", i, got, made[i])
		}
	}
}
