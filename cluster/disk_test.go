package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
)

// TestJudgeDisk: what a file system is refused for, each with the next step.
func TestJudgeDisk(t *testing.T) {
	room := func(mib uint64) unix.Statfs_t {
		return unix.Statfs_t{Bsize: 4096, Bfree: mib << 20 / 4096, Files: 1 << 20, Ffree: 1 << 20}
	}
	with := func(st unix.Statfs_t, change func(*unix.Statfs_t)) unix.Statfs_t { change(&st); return st }
	least := uint64(bounds.FirstStart >> 20)
	for _, c := range []struct {
		name  string
		st    unix.Statfs_t
		fresh bool
		want  string
	}{
		{"room", room(least), true, ""},
		{"little room", room(least - 1), true, "/d has 399 MiB left, and a new cluster needs 400: make room there"},
		{"little room for a cluster that is there", room(1), false, ""},
		{"few inodes", with(room(least), func(st *unix.Statfs_t) { st.Ffree = 10 }), true, "/d has 10 inodes left"},
		{"no notion of inodes", with(room(least), func(st *unix.Statfs_t) { st.Files, st.Ffree = 0, 0 }), true, ""},
		{"noexec", with(room(least), func(st *unix.Statfs_t) { st.Flags = unix.ST_NOEXEC | unix.ST_NOSUID }), false, "remount,exec"},
		{"read-only", with(room(least), func(st *unix.Statfs_t) { st.Flags = unix.ST_RDONLY }), false, "remount,rw"},
		{"nosuid, nodev", with(room(least), func(st *unix.Statfs_t) { st.Flags = unix.ST_NOSUID | unix.ST_NODEV }), true, ""},
	} {
		err := judgeDisk("/d", c.st, c.fresh)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestDisks: real file systems, in a mount namespace of their own.
func TestDisks(t *testing.T) {
	const inside = "CLUSTER_TEST_DISKS"
	dir := os.Getenv(inside)
	if dir == "" {
		dir = t.TempDir()
		self, err := os.Executable()
		must(t, err)
		cmd := exec.Command("unshare", "-m", "--propagation", "private", self, "-test.run=^TestDisks$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestDisks") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	at := func(name string) string {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(path, 0o700))
		return path
	}
	try := func(name, path, want string) {
		t.Helper()
		before, err := os.ReadDir(existing(path))
		must(t, err)
		err = checkDisk(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if after, err := os.ReadDir(existing(path)); err != nil || len(after) != len(before) {
			t.Errorf("%s: %v was left, %v", name, after, err)
		}
	}
	must(t, unix.Mount("t", at("small"), "tmpfs", 0, "size=100m"))
	try("too small", filepath.Join(at("small"), "a/b"), "has 100 MiB left, and a new cluster needs 400")
	must(t, os.WriteFile(filepath.Join(at("small"), markerName), nil, 0o600))
	try("small, and a cluster's already", at("small"), "")
	must(t, unix.Mount("t", at("noexec"), "tmpfs", unix.MS_NOEXEC, "size=1g"))
	try("noexec", at("noexec"), "mounted noexec")
	must(t, unix.Mount("t", at("good"), "tmpfs", 0, "size=1g"))
	try("good", filepath.Join(at("good"), "new"), "")
	// An overlay on one: what a container's own root is.
	lower, upper, work := at("good/l"), at("good/u"), at("good/w")
	must(t, unix.Mount("overlay", at("over"), "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work))
	want := "no container's can be laid"
	if tryOverlay(at("over")) == nil {
		want = "" // newer kernels can
	}
	try("an overlay", filepath.Join(at("over"), "new"), want)
	t.Logf("an overlay over an overlay: %q", want)
	must(t, unix.Mount("proc", at("proc"), "proc", 0, ""))
	if err := checkDisk(at("proc")); err == nil {
		t.Error("a data directory in /proc is accepted")
	}
}
