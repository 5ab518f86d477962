package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFilesAreLost: whatever becomes of the files that name the processes of a cluster, status
// finds the one that runs it, another `up` that it is ready, and down ends it. Only who holds
// the lock is meant, and nothing waits for a pipe.
func TestFilesAreLost(t *testing.T) {
	for name, hurt := range map[string]func(path string) error{
		"removed": func(path string) error { return os.Remove(path) },
		"garbled": func(path string) error { return os.WriteFile(path, []byte("\x00\xff 12x"), 0o600) },
		"a pipe": func(path string) error {
			if filepath.Base(path) == "lock" { // one that is replaced is another's
				return os.Truncate(path, 0)
			}
			if err := os.Remove(path); err != nil {
				return err
			}
			return syscall.Mkfifo(path, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			p := PathsOf(dir)
			l, _, err := enter(dir)
			must(t, err)
			must(t, os.MkdirAll(p.Run, 0o700))
			defer os.RemoveAll(p.Run)
			must(t, (&Identity{}).write(dir))
			child, ended := standIn(t, l)
			looker := exec.Command("sleep", "60") // has the lock open, as `tail -f` would
			looks, err := os.Open(p.Lock)
			must(t, err)
			looker.ExtraFiles = []*os.File{looks}
			must(t, looker.Start())
			defer func() { looker.Process.Kill(); looker.Wait() }()
			looks.Close()

			for _, file := range []string{p.PID, p.Ready} {
				must(t, os.WriteFile(file, nil, 0o600))
			}
			for _, file := range []string{p.PID, p.Ready, p.Lock} {
				if file != p.Lock || name != "removed" {
					must(t, hurt(file))
				}
			}
			if pid, busy, err := runningPID(p); pid != child.Process.Pid || !busy || err != nil {
				t.Errorf("status: process %d, busy %t, %v; want %d", pid, busy, err, child.Process.Pid)
			}
			if isReady(p.Lock) {
				t.Error("ready before it says so")
			}
			if name == "garbled" { // or it would be one of a version that named nobody
				must(t, os.WriteFile(p.PID, []byte(strconv.Itoa(child.Process.Pid)), 0o600))
				short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				if serves, err := awaitOther(short, p, io.Discard); serves || err == nil {
					t.Errorf("another up, before it is ready: serves %t, %v", serves, err)
				}
				cancel()
				must(t, hurt(p.PID))
			}
			ready, err := tellReady(p.Lock)
			must(t, err)
			var out bytes.Buffer
			if serves, err := awaitOther(t.Context(), p, &out); !serves || err != nil || !strings.Contains(out.String(), "up already") {
				t.Errorf("another up: serves %t, %v: %s", serves, err, &out)
			}
			must(t, ready.Close())
			if isReady(p.Lock) {
				t.Error("ready after its end")
			}
			if ran, err := Down(t.Context(), dir); !ran || err != nil {
				t.Errorf("down: ran %t, %v", ran, err)
			}
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Error("it was not ended")
			}
			if err := looker.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("who only looked was ended: %v", err)
			}
		})
	}
}

// TestLockIsRemoved: a cluster that runs is not taken for stopped when its lock is removed: another
// `up` says so, down ends it, and then all is as ever.
func TestLockIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := PathsOf(dir)
	l, _, err := enter(dir)
	must(t, err)
	must(t, (&Identity{}).write(dir))
	child, ended := standIn(t, l)
	must(t, os.Remove(p.Lock))
	if pid, busy, err := runningPID(p); pid != child.Process.Pid || !busy || err != nil {
		t.Errorf("status: process %d, busy %t, %v; want %d", pid, busy, err, child.Process.Pid)
	}
	if _, _, err := enter(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
	var out bytes.Buffer
	if _, err := awaitOther(t.Context(), p, &out); err == nil || !strings.Contains(err.Error(), "hyperkube down") {
		t.Errorf("another up: %v: %s", err, &out)
	}
	if ran, err := Down(t.Context(), dir); !ran || err != nil {
		t.Errorf("down: ran %t, %v", ran, err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("it was not ended")
	}
	l, _, err = enter(dir)
	must(t, err)
	must(t, l.Close())
}

// TestPipesInTheDataDirectory: reset, status and what `up` looks at first answer, whatever file
// of theirs a pipe stands in place of.
func TestPipesInTheDataDirectory(t *testing.T) {
	for _, name := range []string{"cluster.json", markerName, "lock", "admin.conf", "pki/ca.crt", "pki/encryption.yaml", "etcd/cluster", "log/hyperkube.log"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			l, _, err := enter(dir)
			must(t, err)
			must(t, (&Identity{Bridge: "b"}).write(dir))
			must(t, l.Close())
			path := filepath.Join(dir, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o700))
			must(t, os.RemoveAll(path))
			must(t, syscall.Mkfifo(path, 0o600))
			o, p := Default(), PathsOf(dir)
			o.DataDir = dir
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = GetStatus(t.Context(), dir)
				_ = o.Recall(func(string) bool { return false })
				_ = o.check()
				_, _ = firstID(p)
				_, _, _ = holdingsOf(p, nil, true).encryption(p, false)
				_, _ = readTail(p.Log, 0)
				_, _ = Down(t.Context(), dir)
				_, _ = removeMarked(dir)
			}()
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Error("it waits for the pipe")
			}
		})
	}
}

// TestOthersAreNotAsked: when the lock is not there, as before each first start, only what is called
// as ours is looked into: others may have a million files open. Whoever holds one that is there is found.
func TestOthersAreNotAsked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := lock(path)
	must(t, err)
	start := func(word string) int {
		child := exec.Command("sh", "-c", "read _", word) // it forks nobody, who would hold it, too
		child.ExtraFiles = []*os.File{l}
		_, err := child.StdinPipe()
		must(t, err)
		must(t, child.Start())
		t.Cleanup(func() { child.Process.Kill(); child.Wait() })
		return child.Process.Pid
	}
	found := func() (pids []int) {
		for _, o := range owners(path) {
			if o.pid != os.Getpid() {
				pids = append(pids, o.pid)
			}
		}
		return pids
	}
	other := start("other")
	if got := found(); !slices.Equal(got, []int{other}) {
		t.Errorf("one of another name holds a lock that is there: found %v, want %d", got, other)
	}
	starter := start("up")
	if got := found(); !slices.Equal(got, []int{starter}) {
		t.Errorf("one of ours holds it, too: found %v, want %d", got, starter)
	}
	must(t, os.Remove(path))
	if got := found(); !slices.Equal(got, []int{starter}) {
		t.Errorf("the lock is gone: found %v, want %d", got, starter)
	}
	must(t, l.Close())
}

// standIn is a process that has taken over a cluster's lock, and looks like the cluster's. It waits, and forks nobody
// who would hold the lock, too.
func standIn(t *testing.T, l *os.File) (*exec.Cmd, chan error) {
	t.Helper()
	child := exec.Command("sh", "-c", "read _", "--foreground")
	child.ExtraFiles = []*os.File{l}
	_, err := child.StdinPipe()
	must(t, err)
	must(t, child.Start())
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	t.Cleanup(func() { child.Process.Kill() })
	must(t, l.Close())
	return child, ended
}
