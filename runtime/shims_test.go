package runtime

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyperkube/runtime/carried"
)

// TestShimID: only a serving shim of our socket and the pods' namespace is meant.
func TestShimID(t *testing.T) {
	for line, want := range map[string]string{
		"/x/containerd-shim-runc-v2 -namespace k8s.io -id abc -address /run/ours":                          "abc",
		"/x/containerd-shim-runc-v2 -namespace k8s.io -id abc -address /run/ours -debug":                   "abc",
		"/x/containerd-shim-runc-v2 -namespace k8s.io -address /run/ours -publish-binary /x -id abc start": "",
		"/x/containerd-shim-runc-v2 -namespace k8s.io -address /run/ours -bundle /b -id abc delete":        "",
		"/x/containerd-shim-runc-v2 -namespace moby -id abc -address /run/ours":                            "",
		"/x/containerd-shim-runc-v2 -namespace k8s.io -id abc -address /run/theirs":                        "",
		"/x/other -namespace k8s.io -id abc -address /run/ours":                                            "",
		"/x/containerd-shim-runc-v2": "",
	} {
		id, ok := shimID(strings.Fields(line), "/run/ours")
		if (want == "") == ok || ok && id != want {
			t.Errorf("%s: %q, %t", line, id, ok)
		}
	}
}

// TestMain makes the test itself a process that looks like a shim or like containerd, when
// it is asked to.
func TestMain(m *testing.M) {
	if socket := os.Getenv("TEST_CONTAINERD"); socket != "" {
		fakeChild(socket)
	}
	if os.Getenv("TEST_HOLD") != "" {
		hold()
	}
	note := os.Getenv("TEST_SHIM_CHILD")
	if note == "" {
		os.Exit(m.Run())
	}
	child := exec.Command("sleep", "300")
	if err := child.Start(); err != nil {
		os.Exit(1)
	}
	if err := os.WriteFile(note, []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
		os.Exit(1)
	}
	child.Wait()
	select {}
}

// TestEndShim finds a shim and ends it with its child, and leaves alone what got its number.
func TestEndShim(t *testing.T) {
	dir := t.TempDir()
	note, socket := filepath.Join(dir, "child"), filepath.Join(dir, "sock")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = []string{"/x/" + carried.Shim, "-namespace", "k8s.io", "-id", "abc", "-address", socket}
	cmd.Env = append(os.Environ(), "TEST_SHIM_CHILD="+note)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer cmd.Process.Kill()
	var child int
	for deadline := time.Now().Add(20 * time.Second); child == 0; time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(note)
		child, _ = strconv.Atoi(string(b))
		if time.Now().After(deadline) {
			t.Fatal("the child did not start")
		}
	}
	defer syscall.Kill(child, syscall.SIGKILL)
	found, err := shims(socket, "")
	if err != nil || len(found) != 1 || found[0].pid != cmd.Process.Pid || found[0].id != "abc" {
		t.Fatalf("found %v, %v", found, err)
	}
	another := found[0]
	another.started = "1"
	if err := another.end(); err != nil || syscall.Kill(cmd.Process.Pid, 0) != nil {
		t.Fatalf("one with its number was ended: %v", err)
	}
	if err := found[0].end(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the shim runs on")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("its child runs on")
		}
	}
}

// TestConfigPaths: a path at which no socket can be made is refused before anything is written.
func TestConfigPaths(t *testing.T) {
	long := "/" + strings.Repeat("x", maxSocket)
	for name, c := range map[string]Config{"state": {State: long[:maxState+1], Socket: "/s"}, "socket": {State: "/s", Socket: long}} {
		path := filepath.Join(t.TempDir(), "a", "config.toml")
		if err := WriteConfig(c, path); err == nil || !strings.Contains(err.Error(), "are the most") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Dir(path)); err == nil {
			t.Errorf("%s: something was made", name)
		}
	}
	b, err := render(Config{State: "/run/hyperkube/01234567/containerd", Socket: "/run/hyperkube/01234567/containerd.sock"}, false)
	if err != nil || !strings.Contains(string(b), `socket_dir = "/run/hyperkube/01234567/containerd/s"`) {
		t.Errorf("%v\n%s", err, b)
	}
}
