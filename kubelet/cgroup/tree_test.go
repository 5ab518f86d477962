package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onHost is a tree with a root of its own in the host's real hierarchies.
func onHost(t *testing.T) *Tree {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	tree, err := New("", "/hyperkube-test-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if tree.Unified() {
		if b, _ := os.ReadFile(filepath.Join(tree.mounts[0], "cgroup.controllers")); !strings.Contains(string(b), "memory") {
			t.Skip("this host's only hierarchy has no controllers")
		}
	}
	t.Cleanup(func() {
		if err := tree.RemoveRoot(); err != nil {
			t.Error(err)
		}
		for _, m := range tree.all {
			if _, err := os.Stat(filepath.Join(m, tree.root)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", filepath.Join(m, tree.root), err)
			}
		}
	})
	return tree
}

// value is what the kernel says of one setting, by the file's name on v1 and on v2.
func value(t *testing.T, tree *Tree, group, one, two string) string {
	t.Helper()
	file := one
	if tree.unified {
		file = two
	}
	for _, m := range tree.mounts {
		if b, err := os.ReadFile(filepath.Join(m, group, file)); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	t.Fatalf("no %s of %s", file, group)
	return ""
}

func TestPodOnHost(t *testing.T) {
	tree := onHost(t)
	if err := tree.EnsureRoot(Limits{CPUShares: 2048, Memory: 4 << 30, PIDs: 5000}); err != nil {
		t.Fatal(err)
	}
	if got := value(t, tree, tree.pods(), "pids.max", "pids.max"); got != "5000" {
		t.Errorf("processes of all pods: %s", got)
	}
	p := podOf("one", container(list("cpu", "500m"), list("cpu", "1", "memory", "64Mi")))
	if err := tree.EnsurePod(p, 100); err != nil {
		t.Fatal(err)
	}
	group := tree.PodParent(p)
	quota := func() string { return value(t, tree, group, "cpu.cfs_quota_us", "cpu.max") }
	memory := func() string { return value(t, tree, group, "memory.limit_in_bytes", "memory.max") }
	if q := quota(); q != "100000" && q != "100000 100000" {
		t.Errorf("quota %s", q)
	}
	if m := memory(); m != strconv.Itoa(64<<20) {
		t.Errorf("memory %s", m)
	}
	if n := value(t, tree, group, "pids.max", "pids.max"); n != "100" {
		t.Errorf("processes %s", n)
	}
	// A resize loosens first, then sets what is new; what is not limited any more stays loose.
	if err := tree.LoosenPod(p); err != nil {
		t.Fatal(err)
	}
	if q := quota(); q != "-1" && q != "max 100000" {
		t.Errorf("quota of a loosened pod %s", q)
	}
	p.Spec.Containers[0].Resources.Limits = list("memory", "32Mi")
	if err := tree.EnsurePod(p, 100); err != nil {
		t.Fatal(err)
	}
	if q, m := quota(), memory(); (q != "-1" && q != "max 100000") || m != strconv.Itoa(32<<20) {
		t.Errorf("after the resize: quota %s, memory %s", q, m)
	}
	if on := tree.OnDisk(); len(on) != 1 || !on["one"] {
		t.Errorf("on disk: %v", on)
	}
	if err := tree.RemovePod("one"); err != nil {
		t.Fatal(err)
	}
	if err := tree.RemovePod("one"); err != nil {
		t.Errorf("removed again: %v", err)
	}
	if on := tree.OnDisk(); len(on) != 0 {
		t.Errorf("on disk after removal: %v", on)
	}
}

// What the runtime lost still runs in the pod's group, also below a container's: it ends with the pod. While
// something runs that is no pod's, the root stays.
func TestRemovalEndsWhatIsLost(t *testing.T) {
	tree := onHost(t)
	if err := tree.EnsureRoot(Limits{}); err != nil {
		t.Fatal(err)
	}
	p := podOf("lost", container(nil, nil))
	if err := tree.EnsurePod(p, 0); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(tree.mounts[0], tree.PodParent(p), "container")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	start := func(dir string) *exec.Cmd {
		c := exec.Command("sleep", "600")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(c.Process.Pid)), 0o644); err != nil {
			t.Fatal(err)
		}
		return c
	}
	lost := start(dir)
	foreign := start(filepath.Join(tree.mounts[0], tree.pods(), "besteffort"))
	ended := make(chan error, 1)
	go func() { ended <- lost.Wait() }()
	if err := tree.RemovePod("lost"); err != nil {
		t.Fatal(err)
	}
	<-ended
	if s := lost.ProcessState.Sys().(interface{ Signal() unix.Signal }); s.Signal() != unix.SIGKILL {
		t.Errorf("it ended by %v", s.Signal())
	}
	if err := tree.RemoveRoot(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the tree of a running process was removed: %v", err)
	}
	if err := foreign.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the process of nobody was ended: %v", err)
	}
	_ = foreign.Process.Kill()
	_ = foreign.Wait()
}

// On v2 the values have forms of their own, and controllers are handed down by every parent.
func TestUnified(t *testing.T) {
	mount := t.TempDir()
	for _, d := range []string{"", "kubepods", "kubepods/burstable"} {
		if err := os.MkdirAll(filepath.Join(mount, d), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "cpu\n"} {
			if err := os.WriteFile(filepath.Join(mount, d, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tree := &Tree{root: "/", unified: true, mounts: []string{mount}, all: []string{mount}}
	p := podOf("two", container(list("cpu", "1"), list("cpu", "2", "memory", "1Gi")))
	if err := tree.EnsurePod(p, 50); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"kubepods/burstable/podtwo/cpu.weight":      "39", // 1024 shares
		"kubepods/burstable/podtwo/cpu.max":         "200000 100000",
		"kubepods/burstable/podtwo/memory.max":      "1073741824",
		"kubepods/burstable/podtwo/pids.max":        "50",
		"kubepods/burstable/cgroup.subtree_control": "+pids", // the last that was missing
	} {
		if b, err := os.ReadFile(filepath.Join(mount, file)); err != nil || string(b) != want {
			t.Errorf("%s is %q, want %q (%v)", file, b, want, err)
		}
	}
	if err := tree.LoosenPod(p); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(mount, "kubepods/burstable/podtwo/cpu.max")); string(b) != "max" {
		t.Errorf("loosened: %q", b)
	}
}

func TestNoControllers(t *testing.T) {
	if _, err := New(t.TempDir(), "/"); err == nil {
		t.Error("a host without hierarchies was accepted")
	}
	if _, err := New(filepath.Join(t.TempDir(), "none"), "/"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
