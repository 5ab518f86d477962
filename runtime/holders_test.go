package runtime

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hyperkube/internal/filewatch/filewatchtest"
)

// TestPlanEnd: what is ended, and what is not, when no inotify instance is left.
func TestPlanEnd(t *testing.T) {
	host := func(n int) holder { return holder{pid: 1, instances: n, name: "ide"} }
	pod := func(uid string, each ...int) (out []holder) {
		for i, n := range each {
			out = append(out, holder{pid: 10 + i, instances: n, group: "/hk/kubepods/burstable/pod" + uid + "/c" + strconv.Itoa(i)})
		}
		return out
	}
	hides := holder{hides: true, group: "/hk/kubepods/podz/c"}
	for _, c := range []struct {
		name    string
		limit   int
		holders []holder
		want    string
	}{
		{"one with more files than can be looked at", 128, append(pod("a", 3), host(20), hides), "z"},
		{"and one that is seen to hold all", 128, append(pod("a", 100), host(20), hides), "a"},
		{"and the host holds most", 128, append(pod("a", 3), host(64), hides), ""},
		{"one pod holds all", 128, pod("a", 128), "a"},
		{"in many processes", 128, pod("a", slices.Repeat([]int{8}, 16)...), "a"},
		{"a pod holds more than half", 128, append(pod("a", 65), host(63)), "a"},
		{"a pod holds half", 128, append(pod("a", 64), host(64)), ""},
		{"the host holds most", 128, append(pod("a", 40), host(88)), ""},
		{"two pods share them", 8192, slices.Concat(pod("a", 4000), pod("b", 4192)), "b"},
		{"honest pods by the dozen", 128, slices.Concat(pod("a", 8), pod("b", 8), pod("c", 8), pod("d", 8), pod("e", 8), pod("f", 8), pod("g", 8), pod("h", 8), pod("i", 8), []holder{host(56)}), ""},
		{"nobody is known", 128, nil, ""},
	} {
		if got := planEnd(c.limit, c.holders); got != c.want {
			t.Errorf("%s: %q is ended, want %q", c.name, got, c.want)
		}
	}
}

// TestHoldersIn: who holds instances is read from the processes; what a process has from its
// parent counts once, and which pod one is in is what its cgroup says.
func TestHoldersIn(t *testing.T) {
	proc := t.TempDir()
	put := func(pid int, comm, cgroup string, fds ...string) {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"comm": comm + "\n", "cgroup": cgroup} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for i, to := range fds {
			if err := os.Symlink(to, filepath.Join(dir, "fd", strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	const one = "anon_inode:inotify"
	put(1, "systemd", "0::/init.scope\n", "/dev/null", one)
	put(20, "shipper", "9:cpu:/\n6:memory:/hk/kubepods/burstable/poda-1/c1\n", one, one, "socket:[1]")
	put(21, "shipper", "6:memory:/hk/kubepods/burstable/poda-1/c1\n", one, one, one) // two from its parent
	put(30, "other", "0::/hk/kubepods/podb/c2/inner\n", one)
	put(31, "stranger", "0::/hk-2/kubepods/podc/c3\n", one)
	put(32, "liar", "0::/x/hk/kubepods/podc/c3\n", one)
	put(33, "between", "0::/hk/kubepods/podc\n", one)
	put(34, "none", "0::/hk/kubepods/podb/c2\n", "/dev/null")
	got, err := holdersIn(proc, "/hk/kubepods", 1000, func(pid, other, fd int) bool { return pid == 21 && other == 20 && fd < 2 })
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, h := range got {
		lines = append(lines, fmt.Sprintf("%d %s %d %s %q", h.pid, h.name, h.instances, h.group, podOf(h)))
	}
	slices.Sort(lines)
	want := []string{
		`1 systemd 1  ""`, `20 shipper 2 /hk/kubepods/burstable/poda-1/c1 "a-1"`, `21 shipper 1 /hk/kubepods/burstable/poda-1/c1 "a-1"`,
		`30 other 1 /hk/kubepods/podb/c2 "b"`, `31 stranger 1  ""`, `32 liar 1  ""`, `33 between 1  ""`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if got, want := describe(got, func(pod string) string { return "shop/" + pod }), "pod shop/a-1 holds 3, between (pid 33) holds 1, liar (pid 32) holds 1, pod shop/b holds 1, stranger (pid 31) holds 1, 1 more hold some"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestHoldersHide: of a pod with more open files than anyone can look at no more are looked at, and it is named.
func TestHoldersHide(t *testing.T) {
	proc := t.TempDir()
	for pid, group := range map[int]string{10: "0::/\n", 20: "0::/hk/kubepods/poda/c\n", 21: "0::/hk/kubepods/podb/c\n", 22: "0::/hk/kubepods/podb/c\n", 30: "0::/\n"} {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(group), 0o600); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := os.Symlink("anon_inode:inotify", filepath.Join(dir, "fd", strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := holdersIn(proc, "/hk/kubepods", 15, func(int, int, int) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, h := range got {
		pids = append(pids, h.pid)
	}
	slices.Sort(pids)
	if want := []int{0, 10, 20, 21, 30}; !slices.Equal(pids, want) { // 22 is not looked at, the host's are
		t.Errorf("%v were looked at, want %v", pids, want)
	}
	if i := slices.IndexFunc(got, func(h holder) bool { return h.hides }); i < 0 || got[i].pod() != "b" {
		t.Errorf("%v", got)
	}
	if said := describe(got, func(pod string) string { return pod }); !strings.Contains(said, "pod b has more open files than could be looked at") {
		t.Error(said)
	}
}

func podOf(h holder) string {
	if h.group == "" {
		return ""
	}
	return h.pod()
}

// hold takes instances until there are none, and ends with its parent.
func hold() {
	for {
		if _, err := unix.InotifyInit1(0); err != nil {
			break
		}
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// TestContainerdWithoutInstance: in a user namespace whose instances somebody holds, a process of
// the host is named and left alone, and of a pod the containers that hold are ended, so that
// containerd starts.
func TestContainerdWithoutInstance(t *testing.T) {
	if !filewatchtest.Within(t, 24, 0) {
		return
	}
	// A cgroup as a pod's container has it.
	mount := "/sys/fs/cgroup"
	if _, err := os.Stat(mount + "/cgroup.controllers"); err != nil {
		mount += "/pids"
	}
	root := fmt.Sprintf("/hyperkube-test-%d", os.Getpid())
	group := root + "/kubepods/besteffort/pod0-1/c"
	if err := os.MkdirAll(mount+group, 0o755); err != nil {
		t.Skip("no cgroup can be made here:", err)
	}
	t.Cleanup(func() {
		for dir := group; dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Remove(mount + dir); err != nil {
				t.Error(err)
			}
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	holds := func() *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "TEST_HOLD=1")
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	r := fakeRuntime(t, "")
	r.o.PodCgroups, r.o.PodLogs = root+"/kubepods", t.TempDir()
	if err := os.Mkdir(filepath.Join(r.o.PodLogs, "shop_shipper_0-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	r.o.Logger = slog.New(slog.NewTextHandler(&log, nil))

	foreign := holds()
	err = r.needInstance(t.Context())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d) holds 24", foreign.Process.Pid)) || log.Len() != 0 {
		t.Errorf("a process of the host: %v\n%s", err, &log)
	}
	if err := foreign.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process of the host was ended: %v", err)
	}
	if err := foreign.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = foreign.Wait()

	mine := holds()
	if err := os.WriteFile(mount+group+"/cgroup.procs", []byte(strconv.Itoa(mine.Process.Pid)), 0); err != nil {
		t.Skip("no process can be moved here:", err)
	}
	ended := make(chan struct{})
	go func() { _ = mine.Wait(); close(ended) }()
	if err := r.needInstance(t.Context()); err != nil {
		t.Errorf("a pod: %v", err)
	}
	<-ended
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "pod=shop/shipper") || !strings.Contains(got, "holds 24") {
		t.Errorf("told:\n%s", got)
	}
	if !instanceLeft() {
		t.Error("none is left")
	}
}
