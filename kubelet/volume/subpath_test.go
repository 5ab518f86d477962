package volume

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
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
