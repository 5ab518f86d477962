package runtime

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHostProcesses: what runs in a pod is no process of the host, whatever it is called.
func TestHostProcesses(t *testing.T) {
	proc := t.TempDir()
	put := func(pid int, cgroup string, args ...string) {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, a := range args {
			text += a + "\x00"
		}
		for name, content := range map[string]string{"cmdline": text, "cgroup": cgroup} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	real := []string{"/proc/self/exe", "containerd", "--config", "/d/config.toml", "--log-file", "/d/log"}
	put(10, "0::/user.slice\n", real...)
	put(11, "4:pids:/\n3:memory:/hk/kubepods/besteffort/podu1/c1\n0::/\n", real...)
	put(12, "0::/hk/kubepods/podu2/c1/deeper\n", "sh", "-c", "trap '' TERM", "x", "--config", "/d/config.toml", "--log-file")
	put(13, "0::/hk2/kubepods/podu3/c1\n", real...) // below no cgroup of ours
	put(14, "0::/\n")                               // dead
	put(15, "0::/\n", "/proc/self/exe", "containerd", "--config", "/other/config.toml", "--log-file", "/d/log")
	for pods, want := range map[string]string{"/hk/kubepods": "10 13", "": "10 11 12 13"} {
		found, err := hostProcesses(proc, pods, func(args []string) bool { return runsWith(args, "/d/config.toml") })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range found {
			got = append(got, strconv.Itoa(p.PID))
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("pods below %q: %s, want %s", pods, g, want)
		}
	}
}

// TestEndUnreaped: a process whose parent never asks how it ended is gone when it is dead.
func TestEndUnreaped(t *testing.T) {
	for name, script := range map[string]string{
		"gentle": `sleep 300 & echo $!; exec sleep 300`,
		"deaf":   `(trap '' TERM; exec sleep 300) & echo $!; exec sleep 300`,
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", script)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
			for comm := ""; comm != "sleep\n"; time.Sleep(time.Millisecond) { // from then on nobody asks
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
				if err != nil {
					t.Fatal(err)
				}
				comm = string(b)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := EndProcess(ctx, child, 200*time.Millisecond); err != nil {
				t.Error(err)
			}
			if !dead(child) {
				t.Error("it runs on")
			}
		})
	}
}
