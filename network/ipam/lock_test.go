package ipam

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTurns: who lets the lock go and wants it again at once gets it after those who wait.
func TestTurns(t *testing.T) {
	dir := t.TempDir()
	held := open(t, dir)
	inode := inodeOf(t, filepath.Join(dir, "lock"))
	for round := range 200 {
		turns := make(chan string, 2)
		failed := make(chan error, 1)
		go func() {
			p, err := Open(dir)
			if err == nil {
				turns <- "who waited"
				err = p.Close()
			}
			failed <- err
		}()
		for end := time.Now().Add(20 * time.Second); !waited(t, inode); time.Sleep(100 * time.Microsecond) {
			if time.Now().After(end) {
				t.Fatal("nobody waits")
			}
		}
		if err := held.Close(); err != nil {
			t.Fatal(err)
		}
		held = open(t, dir)
		turns <- "who had it"
		if first := <-turns; first != "who waited" {
			t.Fatalf("round %d: %s came first", round, first)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
}

func inodeOf(t *testing.T, path string) string {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(":%d ", st.Sys().(*syscall.Stat_t).Ino)
}

// waited reports whether somebody is in the kernel's list of those who wait for a lock.
func waited(t *testing.T, inode string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "-> FLOCK") && strings.Contains(line, inode) {
			return true
		}
	}
	return false
}
