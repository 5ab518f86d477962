package filewatch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"hyperkube/internal/filewatch/filewatchtest"
	"hyperkube/internal/trouble"
)

// TestWithout: without an instance there is a look every Every, what is added is refused with
// the next step, and lines are told with growing pauses; with the first that is to be had there is a last look.
func TestWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var has atomic.Bool
		given := &fsnotify.Watcher{Events: make(chan fsnotify.Event), Errors: make(chan error)}
		w := with(trouble.New(slog.New(slog.NewTextHandler(&log, nil)), nil, "watching"), func() (*fsnotify.Watcher, error) {
			if has.Load() {
				return given, nil
			}
			return nil, unix.EMFILE
		})
		if err := w.Add("/x"); !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "max_user_instances") {
			t.Errorf("refused with %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		looks := make(chan time.Duration)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(ctx, func(name string) {
				if name != "" {
					t.Errorf("told of %q", name)
				}
				looks <- time.Since(began)
			})
		}()
		for n := time.Duration(1); n <= 3; n++ {
			if n == 3 {
				if w.Err() == nil {
					t.Error("an instance, with none to be had")
				}
				has.Store(true)
			}
			if at := <-looks; at != n*Every {
				t.Errorf("look %d after %v", n, at)
			}
		}
		if err := w.Err(); err != nil {
			t.Errorf("no instance, with one to be had: %v", err)
		}
		if got := log.String(); strings.Count(got, "watching fails") > 2 || strings.Count(got, "watching works again") != 1 {
			t.Errorf("told:\n%s", got)
		}
		select {
		case at := <-looks:
			t.Errorf("a look after %v, with an instance", at)
		case <-time.After(time.Minute):
		}
		w.mu.Lock()
		w.notify = nil // it has nothing behind it to be closed
		w.mu.Unlock()
		cancel()
		<-ended
	})
}

// TestCloses: Close ends Run, and the instance is back when it returns.
func TestCloses(t *testing.T) {
	w := New(nil)
	if err := w.Err(); err != nil {
		t.Skip(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(t.Context(), func(string) {}) }()
	w.Close()
	if n := instances(t); n != 0 {
		t.Errorf("%d instances are left", n)
	}
	<-ended
	w.Close()
	if err := w.Add(t.TempDir()); !errors.Is(err, errClosed) {
		t.Errorf("added to a closed one: %v", err)
	}
}

func instances(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && to == "anon_inode:inotify" {
			n++
		}
	}
	return n
}

// TestTaken: in a user namespace whose only instance somebody holds, changes are looked for,
// and watched again once it is given back.
func TestTaken(t *testing.T) {
	if !filewatchtest.Within(t, 1, 0) {
		return
	}
	holder, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := New(nil)
	if err := w.Add(dir); !errors.Is(err, unix.EMFILE) {
		t.Fatalf("with all taken: %v", err)
	}
	told := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx, func(name string) { told <- name }) }()
	limit := time.After(time.Minute)
	next := func() string {
		t.Helper()
		select {
		case name := <-told:
			return name
		case <-limit:
			t.Fatal("nothing was told")
			return ""
		}
	}
	if got := next(); got != "" || w.Err() == nil {
		t.Fatalf("told of %q, %v", got, w.Err())
	}
	if err := unix.Close(holder); err != nil {
		t.Fatal(err)
	}
	for w.Err() != nil {
		if got := next(); got != "" {
			t.Fatalf("told of %q", got)
		}
	}
	if err := w.Add(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for next() != path {
	}
	cancel()
	<-ended
}
