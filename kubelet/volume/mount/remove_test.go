package mount

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"hyperkube/internal/tree"
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

// TestRemoveEntersNoMount: what was mounted after the look at the mounts is another's, and stays.
func TestRemoveEntersNoMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	root, data := t.TempDir(), t.TempDir()
	dir := filepath.Join(root, "pod")
	mustWrite(t, filepath.Join(data, "sub", "precious"))
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, filepath.Join(dir, "file"))
	// A directory of the same file system, and one file of it, as a subPath has them.
	if err := Bind(data, filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := Bind(filepath.Join(data, "sub", "precious"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if err := tree.Remove(dir); err == nil {
		t.Error("removed although something is mounted there")
	}
	if _, err := os.Stat(filepath.Join(data, "sub", "precious")); err != nil {
		t.Error("another's file is gone:", err)
	}
	if err := RemoveAll(dir); err != nil { // which unmounts first
		t.Fatal(err)
	}
	absent(t, dir)
	if _, err := os.Stat(filepath.Join(data, "sub", "precious")); err != nil {
		t.Error("another's file is gone:", err)
	}
}
