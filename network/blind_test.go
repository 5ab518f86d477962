package network

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hyperkube/internal/filewatch/filewatchtest"
)

// TestWithoutInotify: on a host whose inotify instances are all taken the network is set up,
// that is told, and the CNI configuration comes back when it is deleted.
func TestWithoutInotify(t *testing.T) {
	if !filewatchtest.Within(t, 0, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS) {
		return
	}
	a := startAgent(t, nil, nil)
	if s := a.log.String(); strings.Count(s, "no inotify instance is left") != 1 {
		t.Errorf("told:\n%s", s)
	}
	path := filepath.Join(a.o.ConfDir, ConfName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the configuration", func() error {
		_, err := os.Stat(path)
		return err
	})
}
