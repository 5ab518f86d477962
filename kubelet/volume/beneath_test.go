package volume

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadBeneath: only regular files inside the volume are read, and never more than was allowed.
func TestReadBeneath(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600))
	must(os.Mkdir(filepath.Join(root, "d"), 0o755))
	must(os.WriteFile(filepath.Join(root, "d", "f"), []byte("12345"), 0o600))
	must(os.Symlink("d/f", filepath.Join(root, "in")))
	must(os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, "out")))
	must(os.Symlink("/proc/self/environ", filepath.Join(root, "proc")))
	l, err := net.Listen("unix", filepath.Join(root, "socket"))
	must(err)
	defer l.Close()
	// An open would fail otherwise, as it would for a device, or have an effect.
	if _, err := ReadBeneath(root, "socket", 5); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a socket is opened: %v", err)
	}
	must(unix.Mkfifo(filepath.Join(root, "pipe"), 0o600))
	for path, want := range map[string]string{"d/f": "12345", "in": "12345", "out": "", "proc": "", "pipe": "", "d": "", "none": "", "../x": ""} {
		got, err := ReadBeneath(root, path, 5)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if _, err := ReadBeneath(root, "d/f", 4); err == nil || !strings.Contains(err.Error(), "larger than 4 bytes") {
		t.Errorf("too large: %v", err)
	}
}
