package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestResetRemovesDeepTrees: what a pod has nested deeper than a process may have files open
// keeps no reset from its end.
func TestResetRemovesDeepTrees(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, _, err := enter(dir)
	must(t, err)
	defer l.Close()
	const most = 512
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	for i := range 4 * most {
		name := "d"
		if i == 0 {
			name = "kubelet"
		}
		must(t, unix.Mkdirat(at, name, 0o700))
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, errors.Join(err, unix.Close(at)))
		at = next
	}
	must(t, unix.Close(at))
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(most, before.Cur), Max: before.Max}))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) }()
	if kept, err := removeMarked(dir); len(kept) > 0 || err != nil {
		t.Errorf("kept %v: %v", kept, err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory is left: %v", err)
	}
}
