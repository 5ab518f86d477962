package logs

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/internal/filewatch/filewatchtest"
)

// TestRotatesWithoutInotify: on a host whose inotify instances are all taken logs are rotated
// all the same, and that is told once.
func TestRotatesWithoutInotify(t *testing.T) {
	if !filewatchtest.Within(t, 0, 0) {
		return
	}
	const limit = 1 << 20
	a := &appender{t: t, path: filepath.Join(t.TempDir(), "0.log")}
	if err := a.reopen(nil, ""); err != nil {
		t.Fatal(err)
	}
	turned := make(chan struct{}, 100)
	var told bytes.Buffer
	r := NewRotator(limit, 3)
	r.Log, r.Files = slog.New(slog.NewTextHandler(&told, nil)), func() []File { return []File{{"x", a.path}} }
	r.Reopen = func(ctx context.Context, id string) error {
		err := a.reopen(ctx, id)
		turned <- struct{}{}
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for n := range 2 {
		a.write(make([]byte, limit))
		select {
		case <-turned:
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		case <-time.After(time.Minute):
			t.Fatalf("rotated %d times", n)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := told.String(); strings.Count(got, "no inotify instance is left") != 1 {
		t.Errorf("told:\n%s", got)
	}
}
