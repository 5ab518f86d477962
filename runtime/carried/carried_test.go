package carried

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestUnpackAgain: what a power cut, a full disk or an administrator made of a program is
// replaced by the program; one that is whole stays the very file it is, as it may be running.
func TestUnpackAgain(t *testing.T) {
	want, err := Program(Keep)
	if errors.Is(err, ErrAbsent) {
		t.Fatal("run `make` first, which fills files/")
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(path string) error{
		"gone":       os.Remove,
		"empty":      func(p string) error { return os.Truncate(p, 0) },
		"cut short":  func(p string) error { return os.Truncate(p, int64(len(want)/2)) },
		"longer":     func(p string) error { return os.WriteFile(p, append(bytes.Clone(want), 0), 0o755) },
		"zeros":      func(p string) error { return os.WriteFile(p, make([]byte, len(want)), 0o755) },
		"not to run": func(p string) error { return os.Chmod(p, 0o600) },
		"a link":     func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/nowhere", p)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, err := Place(dir, Keep)
			if err == nil {
				err = damage(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Place(dir, Keep); err != nil {
				t.Fatal(err)
			}
			have, err := os.ReadFile(path)
			if info, e := os.Lstat(path); err != nil || e != nil || !bytes.Equal(have, want) || info.Mode() != 0o755 {
				t.Errorf("%d bytes, want %d: %v, %v %v", len(have), len(want), err, info, e)
			}
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Place(dir, Keep); err != nil {
				t.Fatal(err)
			}
			if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("a whole program was replaced: %v", err)
			}
			if found, err := os.ReadDir(filepath.Dir(path)); err != nil || len(found) != 1 {
				t.Errorf("left beside it: %v %v", found, err)
			}
		})
	}
}

func BenchmarkUnpackAgain(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		if _, err := Unpack(dir); err != nil {
			b.Fatal(err)
		}
	}
}
