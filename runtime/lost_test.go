package runtime

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestContainerdOfAnotherRoot: a process in a container sees the same paths and is nobody's of ours.
func TestContainerdOfAnotherRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	r := fakeRuntime(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := func(first string) (*exec.Cmd, chan error) {
		log := filepath.Join(t.TempDir(), "log")
		cmd := exec.Command("sh", "-c", `mount --make-rprivate / && `+first+` && touch "$3" && exec "$1" --config "$2" --log-file "$3"`, "sh", r.o.Command[0], r.o.ConfigPath, log)
		cmd.Env = append(os.Environ(), "TEST_CONTAINERD=deaf")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		for {
			b, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/cmdline")
			if !strings.HasPrefix(string(b), "sh\x00") && strings.Contains(string(b), r.o.ConfigPath) {
				return cmd, ended
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended: %v", err)
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				t.Fatal("it did not start")
			}
		}
	}
	foreign, _ := start(`mount -t tmpfs none "$(dirname "$2")"`)
	_, ended := start("true") // as a service with mounts of its own starts one
	if err := r.endPredecessor(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("ours runs on")
	}
	if err := foreign.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("that of a container was ended: %v", err)
	}
}

// TestContainerdIsFound: a containerd of an earlier run is ended whether its pid is noted, the
// note is lost or something else stands there; one with another configuration is not.
func TestContainerdIsFound(t *testing.T) {
	for name, note := range map[string]func(path string, pid int) error{
		"noted":   func(path string, pid int) error { return os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o600) },
		"lost":    func(string, int) error { return nil },
		"garbled": func(path string, _ int) error { return os.WriteFile(path, []byte("x\x00"), 0o600) },
		"another": func(path string, _ int) error { return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600) },
		"a pipe":  func(path string, _ int) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			r := fakeRuntime(t, "")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			start := func(config string) (*exec.Cmd, chan error) {
				cmd := exec.Command(r.o.Command[0], "--config", config, "--log-file", r.o.LogFile)
				cmd.Env = append(os.Environ(), "TEST_CONTAINERD=deaf")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				t.Cleanup(func() { _ = cmd.Process.Kill() })
				return cmd, ended
			}
			old, ended := start(r.o.ConfigPath)
			other, _ := start(r.o.ConfigPath + "-of-another")
			if err := note(r.o.PIDFile, old.Process.Pid); err != nil {
				t.Fatal(err)
			}
			if err := r.endPredecessor(ctx); err != nil {
				t.Error(err)
			}
			select {
			case <-ended:
			case <-ctx.Done():
				t.Error("it runs on")
			}
			if err := other.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("another's was ended: %v", err)
			}
			if _, err := os.Lstat(r.o.PIDFile); err == nil {
				t.Error("the note is left")
			}
		})
	}
}
