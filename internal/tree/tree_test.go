package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func mustWrite(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func TestRemoveTree(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	dir := filepath.Join(root, "pod")
	mustWrite(t, filepath.Join(outside, "keep"))
	for i := range 3 * names {
		mustWrite(t, filepath.Join(dir, "many", fmt.Sprint(i)))
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing
		if err := Remove(dir); err != nil {
			t.Fatal(err)
		}
		absent(t, dir)
	}
	if err := os.Symlink(outside, dir); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	absent(t, dir)
	if _, err := os.Stat(filepath.Join(outside, "keep")); err != nil {
		t.Error("a link was followed", err)
	}
}

// TestRemoveDeep: nesting, with no path that the kernel would take, neither stops the removal nor uses up descriptors.
func TestRemoveDeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pod")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 * deepest {
		for _, name := range []string{"down", "beside"} {
			if err := unix.Mkdirat(fd, name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		next, err := unix.Openat(fd, "down", unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			f, err := unix.Openat(fd, "..deep-1", unix.O_CREAT|unix.O_WRONLY, 0o600) // as the remover calls its own
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(f)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	absent(t, dir)
}
