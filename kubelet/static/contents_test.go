package static

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyperkube/internal/bounds"
)

// TestManifestsThatAreNone: neither a pipe nor an endless file keeps the others waiting.
func TestManifestsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	pipe, long, dangling := filepath.Join(dir, "pipe.yaml"), filepath.Join(dir, "long.yaml"), filepath.Join(dir, "zero.yaml")
	for _, err := range []error{syscall.Mkfifo(pipe, 0o600), os.WriteFile(long, nil, 0o600), os.Truncate(long, bounds.Body+1), os.Symlink("/dev/zero", dangling)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{pipe: "not a regular file", long: "longer than", dangling: "not a regular file"} {
		done := make(chan error, 1)
		go func() { _, err := (&Source{}).read(path); done <- err }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: still reading", filepath.Base(path))
		}
	}
}
