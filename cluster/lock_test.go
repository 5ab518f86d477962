package cluster

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLockIsHandedOver: from the moment a start begins until the end of what it started
// the lock is held and somebody can be found who is to be ended.
func TestLockIsHandedOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := PathsOf(dir)
	if busy, err := held(p.Lock); busy || err != nil || present(dir) {
		t.Fatalf("looking at nothing: %t, %v", busy, err)
	}
	l, _, err := enter(dir)
	must(t, err)
	if pid, err := holder(t.Context(), p); pid != os.Getpid() || err != nil {
		t.Errorf("held by %d, %v; want this process", pid, err)
	}
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{l}
	must(t, child.Start())
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	defer child.Process.Kill()
	must(t, nameHolder(l, child.Process.Pid))
	must(t, l.Close())
	if _, err := lock(p.Lock); !errors.Is(err, ErrRunning) {
		t.Errorf("the lock was free between two holders: %v", err)
	}
	if pid, err := holder(t.Context(), p); pid != child.Process.Pid || err != nil {
		t.Errorf("held by %d, %v; want %d", pid, err, child.Process.Pid)
	}
	ran, err := Down(t.Context(), dir)
	if !ran || err != nil {
		t.Errorf("down: ran %t, %v", ran, err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it was not ended")
	}
	if ran, err := Down(t.Context(), dir); ran || err != nil {
		t.Errorf("down of nothing: ran %t, %v", ran, err)
	}
}

// TestNumbersAreGivenAgain: a process that has not the lock open is never ended, though a
// file names its number.
func TestNumbersAreGivenAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := PathsOf(dir)
	l, _, err := enter(dir)
	must(t, err)
	defer l.Close()
	stranger := exec.Command("sleep", "60")
	must(t, stranger.Start())
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	must(t, os.WriteFile(p.Lock, []byte(strconv.Itoa(stranger.Process.Pid)), 0o600))
	if pid := named(p.Lock, p.Lock); pid != 0 {
		t.Errorf("a stranger, %d, counts as the holder", pid)
	}
}

// TestKeeperIsMissed: a cluster whose keeper has ended says so, as nobody would start it again.
func TestKeeperIsMissed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := PathsOf(dir)
	l, _, err := enter(dir)
	must(t, err)
	defer l.Close()
	must(t, os.MkdirAll(p.Run, 0o700))
	defer os.RemoveAll(p.Run)
	must(t, os.WriteFile(p.PID, []byte(strconv.Itoa(os.Getpid())), 0o600))
	must(t, os.WriteFile(p.Ready, []byte(strconv.Itoa(os.Getpid())), 0o600))
	must(t, (&Identity{}).write(dir))
	missed := func() bool {
		s, err := GetStatus(t.Context(), dir)
		must(t, err)
		return slices.Contains(s.Parts, Part{"keeper", unkept, false})
	}
	var out bytes.Buffer
	if serves, err := awaitOther(t.Context(), p, &out); !serves || err != nil || strings.Contains(out.String(), unkept) || missed() {
		t.Errorf("with a keeper: serves %t, %v, missed %t: %s", serves, err, missed(), &out)
	}
	must(t, nameHolder(l, 1<<22+1)) // no process has this number
	out.Reset()
	if serves, err := awaitOther(t.Context(), p, &out); !serves || err != nil || !strings.Contains(out.String(), unkept) || !missed() {
		t.Errorf("without a keeper: serves %t, %v, missed %t: %s", serves, err, missed(), &out)
	}
}
