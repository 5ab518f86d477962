package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
)

func TestSubPathStaysInside(t *testing.T) {
	root, secret := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"abs": secret, "up": "../" + filepath.Base(secret), "in": "dir"} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"abs/f", "up/f", "abs", "../x"} {
		if fd, err := openBeneath(root, bad); err == nil {
			unix.Close(fd)
			t.Errorf("%s leads out of the volume", bad)
		}
		if err := mkdirBeneath(root, bad+"/new"); err == nil {
			t.Errorf("%s: a directory was made outside", bad)
		}
	}
	if err := mkdirBeneath(root, "in/a/b"); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(root, "dir/a/b")); err != nil || !info.IsDir() {
		t.Error("a link inside the volume is not followed", err)
	}
}

// TestSubPathHasAFloor: what cannot be made is an error, whatever is missing and however deep the path is.
func TestSubPathHasAFloor(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(root, "dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(root, "loop")); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "t")
	for name, c := range map[string]struct {
		root, sub string
		want      error
	}{
		"no volume":         {filepath.Join(root, "none"), "a", unix.ENOENT},
		"no volume, deep":   {filepath.Join(root, "none"), "a/b/c", unix.ENOENT},
		"no volume, itself": {filepath.Join(root, "none"), ".", unix.ENOENT},
		"link to nothing":   {root, "dangling/a", unix.ENOENT},
		"link to itself":    {root, "loop/a", unix.ELOOP},
		"endless":           {root, strings.Repeat("a/", 5000), nil},
		"deep":              {root, strings.Repeat("a/", bounds.PathElements+1) + "b", nil},
	} {
		err := BindSubPath(c.root, c.sub, target)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestSubPathIsLikeItsParent: directories made for a subPath have their parent's mode and group, whatever the umask.
func TestSubPathIsLikeItsParent(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o777|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if err := mkdirBeneath(root, "a/b"); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"a", "a/b"} {
		if info, err := os.Stat(filepath.Join(root, sub)); err != nil || info.Mode().Perm() != 0o777 {
			t.Errorf("%s: %v, %v", sub, info.Mode(), err)
		}
	}
}

// TestPlaceholderChangesItsSort: a subPath that was a file at the last start and is a directory now can be mounted.
func TestPlaceholderChangesItsSort(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a", "t")
	for _, dir := range []bool{true, false, true} {
		if err := placeholder(target, dir); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(target); err != nil || info.IsDir() != dir {
			t.Errorf("directory %v: %v, %v", dir, info, err)
		}
	}
}
