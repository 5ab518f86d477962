package runtime

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"hyperkube/runtime/carried"
)

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

// TestPodsAreNoneOfOurs: what a process of a pod calls itself makes it neither a containerd that is to be ended, which
// one that ignores SIGTERM would hold up, nor a shim.
func TestPodsAreNoneOfOurs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a pid namespace")
	}
	r := fakeRuntime(t, "")
	for name, args := range map[string][]string{
		"containerd": {"containerd", "--config", r.o.ConfigPath, "--log-file", r.o.LogFile},
		"shim":       {"/x/" + carried.Shim, "-namespace", criSpace, "-id", "abc", "-address", r.o.Config.Socket},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(r.o.Command[0])
			cmd.Args, cmd.Env = args, append(os.Environ(), "TEST_CONTAINERD=deaf")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
			if err := cmd.Start(); err != nil {
				t.Skipf("no pid namespace is to be had: %v", err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			defer func() { _ = cmd.Process.Kill(); <-ended }()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := EndAll(ctx, r.o.ConfigPath); err != nil {
				t.Error(err)
			}
			if found, err := shims(r.o.Config.Socket); err != nil || len(found) != 0 {
				t.Errorf("shims: %v, %v", found, err)
			}
			if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("it was ended: %v", err)
			}
		})
	}
}
