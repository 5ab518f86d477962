package runtime

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeChild is a containerd that only has a socket.
func fakeChild(socket string) {
	if socket == "none" {
		os.Exit(3)
	}
	if socket == "deaf" {
		time.Sleep(time.Hour)
	}
	if socket == "complains" {
		os.Stderr.WriteString("first\n{\"level\":\"error\",\"msg\":\"no more of it\",\"error\":\"too many open files\"}\n")
		os.Exit(1)
	}
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	for err == nil {
		_, err = l.Accept()
	}
	os.Exit(1)
}

func fakeRuntime(t *testing.T, socket string) *Runtime {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := Config{Socket: filepath.Join(dir, "s"), Libexec: dir}
	if socket == "" {
		socket = c.Socket
	}
	return &Runtime{ready: make(chan struct{}), limit: startTimeout, o: Options{Config: c, ConfigPath: filepath.Join(dir, "c"), PIDFile: filepath.Join(dir, "pid"), LogFile: filepath.Join(dir, "log"),
		Command: []string{self}, Env: []string{"TEST_CONTAINERD=" + socket}, Logger: slog.New(slog.DiscardHandler)}}
}

// TestContainerdCannotStart: that is an error at once, not a loop until somebody's time is up.
func TestContainerdCannotStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := fakeRuntime(t, "none").Run(ctx)
	if err == nil || !strings.Contains(err.Error(), "cannot start") || ctx.Err() != nil {
		t.Errorf("%v", err)
	}
}

// TestContainerdIsDeaf: one that never answers is ended when its time is up, and not waited
// for until somebody ends it by hand.
func TestContainerdIsDeaf(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := fakeRuntime(t, "deaf")
	r.limit = 100 * time.Millisecond
	err := r.Run(ctx)
	if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// TestContainerdComplains: its last words are the reason that is told.
func TestContainerdComplains(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := fakeRuntime(t, "complains").Run(ctx)
	if err == nil || !strings.Contains(err.Error(), "exit status 1: no more of it: too many open files") {
		t.Error(err)
	}
}

// TestContainerdIsKilled: a containerd that answered is started again after the shortest
// pause, not the longest, and one that lives is let be.
func TestContainerdIsKilled(t *testing.T) {
	r := fakeRuntime(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-r.Ready():
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	first := pid(t, r, 0)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	second := pid(t, r, first)
	if took := time.Since(began); took >= maxBackoff { // a busy machine takes its time to start a process
		t.Errorf("started again after %s", took)
	}
	if third := pid(t, r, 0); third != second {
		t.Errorf("process %d was replaced by %d", second, third)
	}
}

// pid waits for a child that is not the old one.
func pid(t *testing.T, r *Runtime, old int) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(r.o.PIDFile)
		if n, e := strconv.Atoi(string(b)); errors.Join(err, e) == nil && n != old {
			return n
		}
	}
	t.Fatal("no child")
	return 0
}
