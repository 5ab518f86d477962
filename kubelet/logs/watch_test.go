package logs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestFollowersShareOneWatch: however many follow whatever logs, they take one of the host's
// instances, each sees what comes, and none is left when they have gone.
func TestFollowersShareOneWatch(t *testing.T) {
	before, r := instances(t), new(Reader)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	var paths []string
	seen := make(chan string, 1000)
	for n := range 50 {
		path := filepath.Join(t.TempDir(), "0.log")
		if err := os.WriteFile(path, []byte(lineStamp+" stdout F begun\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
		for range 4 {
			out := &told{name: fmt.Sprint(n), seen: seen}
			wg.Go(func() {
				if err := r.Read(ctx, path, Options{Follow: true}, func() bool { return true }, out); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
	}
	await := func(word string, want int) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for got := 0; got < want; {
			select {
			case s := <-seen:
				if bytes.HasSuffix([]byte(s), []byte(word)) {
					got++
				}
			case <-limit:
				t.Fatalf("%d of %d saw %q", got, want, word)
			}
		}
	}
	await("begun", 200)
	if got := instances(t) - before; got != 1 {
		t.Errorf("%d instances are held", got)
	}
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(f, lineStamp+" stdout F went on")
		f.Close()
	}
	await("went on", 200)
	cancel()
	wg.Wait()
	if got := instances(t) - before; got != 0 {
		t.Errorf("%d instances are left", got)
	}
}

const lineStamp = "2026-11-20T21:40:00.123456789Z"

// told says on a channel which lines its follower wrote.
type told struct {
	name string
	seen chan<- string
}

func (w *told) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		w.seen <- w.name + " " + string(bytes.TrimSpace(line))
	}
	return len(b), nil
}

// instances is how many of the host's this process holds.
func instances(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && to == "anon_inode:inotify" {
			n++
		}
	}
	return n
}

// TestNoWatchIsLeft: a follower that got none of the host's watches looks once a second.
func TestNoWatchIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := waitChange(t.Context(), nil); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
