package logs

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOneThatHangsHoldsUpNoOther: while the runtime does not reopen the log of one container, as it does not while
// somebody who is attached to it takes nothing in, the logs of others are rotated, and that one again once it does.
func TestOneThatHangsHoldsUpNoOther(t *testing.T) {
	const limit = 1 << 20
	dir := t.TempDir()
	stuck, other := filepath.Join(dir, "stuck.log"), &appender{t: t, path: filepath.Join(dir, "other.log")}
	if err := other.reopen(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stuck, make([]byte, limit), 0o600); err != nil {
		t.Fatal(err)
	}
	calls, free, freed := make(chan struct{}, 100), make(chan struct{}), make(chan struct{}, 100)
	turned := make(chan struct{}, 100)
	r := NewRotator(limit, 3)
	r.Log = slog.New(slog.DiscardHandler)
	r.Files = func() []File { return []File{{"stuck", stuck}, {"other", other.path}} }
	r.Reopen = func(ctx context.Context, id string) error {
		if id == "other" {
			err := other.reopen(ctx, id)
			turned <- struct{}{}
			return err
		}
		calls <- struct{}{}
		select {
		case <-free:
			err := os.WriteFile(stuck, nil, 0o600)
			freed <- struct{}{}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	wait := func(what string, c chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case err := <-ended:
			t.Fatalf("%s: the rotator ended: %v", what, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: never", what)
		}
	}
	wait("the first is to be reopened", calls)
	for range 3 {
		other.write(make([]byte, limit))
		r.Poke()
		wait("the other is reopened", turned)
	}
	if n := len(calls); n != 0 {
		t.Errorf("the one that hangs was asked %d times more meanwhile", n)
	}
	close(free)
	wait("the first is reopened", freed)
	if err := os.WriteFile(stuck, make([]byte, limit), 0o600); err != nil {
		t.Fatal(err)
	}
	wait("the first is reopened again", freed)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(Rotated(stuck)); n != 2 {
		t.Errorf("%d rotated files of the first, want 2: %q", n, Rotated(stuck))
	}
}
