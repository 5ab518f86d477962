// Package keep tests the keeper of a cluster's process, a C program.
package keep

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// build compiles the keeper as the Makefile does.
func build(t *testing.T) string {
	t.Helper()
	if _, err := os.ReadFile("keep.c"); err != nil { // so that go test sees that it changed
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "keep")
	cmd := exec.Command("gcc", "-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Werror", "-s", "-o", out, "keep.c")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return out
}

type kept struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string
	dir  string
	exit chan error
}

// start keeps a shell script, which finds a folder for notes in $D.
func start(t *testing.T, keep, script string) *kept {
	t.Helper()
	k := &kept{t: t, dir: t.TempDir(), exit: make(chan error, 1)}
	k.log = filepath.Join(k.dir, "log")
	sh, err := os.Open("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	k.cmd = exec.Command(keep, k.log, "sh", "-c", script)
	k.cmd.Env = append(os.Environ(), "D="+k.dir)
	out, err := os.Create(filepath.Join(k.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	k.cmd.Stdout = out                    // until it serves
	k.cmd.ExtraFiles = []*os.File{sh, sh} // the second is file 4
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.cmd.Process.Kill() })
	go func() { k.exit <- k.cmd.Wait() }()
	return k
}

// code is what the keeper ends with.
func (k *kept) code() int {
	k.t.Helper()
	select {
	case err := <-k.exit:
		var e *exec.ExitError
		if errors.As(err, &e) {
			return e.ExitCode()
		}
		return 0
	case <-time.After(20 * time.Second):
		k.t.Fatal("the keeper does not end")
		return -1
	}
}

// await returns the content of a note once it has n lines.
func (k *kept) await(note string, n int) []string {
	k.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(k.dir, note))
		if err == nil && bytes.Count(b, []byte("\n")) >= n {
			return strings.Fields(string(b))
		}
	}
	k.t.Fatalf("%s never had %d lines", note, n)
	return nil
}

// TestNotKeptBeforeItServes: a start that fails tells its code, once.
func TestNotKeptBeforeItServes(t *testing.T) {
	keep := build(t)
	for script, want := range map[string]int{"echo x >>$D/runs; exit 7": 7, "echo x >>$D/runs; exit 0": 0, "echo x >>$D/runs; kill -9 $$": 128 + 9} {
		k := start(t, keep, script)
		if got := k.code(); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
		if runs := k.await("runs", 1); len(runs) != 1 {
			t.Errorf("%s: ran %d times", script, len(runs))
		}
	}
}

// TestStartedAgain: what has served is started again after a kill and after an error, with
// its errors in the log that is there by then, until it ends well.
func TestStartedAgain(t *testing.T) {
	k := start(t, build(t), `echo $$ >>$D/runs; n=$(wc -l <$D/runs)
		case $n in
		1) kill -USR1 $PPID; while :; do sleep 0.01; done;;
		2) echo said >&2; exit 5;;
		*) exit 0;;
		esac`)
	pid, err := strconv.Atoi(k.await("runs", 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	// Its own signal may still be on the way when the note is there.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		to, err := os.Readlink("/proc/" + strconv.Itoa(k.cmd.Process.Pid) + "/fd/1")
		if err == nil && to == "/dev/null" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the keeper does not know that it serves")
		}
	}
	if err := os.Rename(k.log, k.log+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := k.code(); got != 0 {
		t.Errorf("ended with %d", got)
	}
	if runs := k.await("runs", 3); len(runs) != 3 {
		t.Errorf("ran %d times, want 3", len(runs))
	}
	b, err := os.ReadFile(k.log)
	for _, want := range []string{"ended, signal 9; starting it again in 1 s\n", "said\n", "ended, exit code 5; starting it again in 2 s\n"} {
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("the log lacks %q: %s %v", want, b, err)
		}
	}
}

// TestToldToEnd: the keeper passes on that it is to end, and starts nothing then; also
// while it pauses.
func TestToldToEnd(t *testing.T) {
	keep := build(t)
	k := start(t, keep, `trap 'echo told >>$D/end; exit 0' TERM; kill -USR1 $PPID; echo x >>$D/runs; while :; do sleep 0.01; done`)
	k.await("runs", 1)
	k.cmd.Process.Signal(syscall.SIGTERM)
	if got := k.code(); got != 0 {
		t.Errorf("ended with %d", got)
	}
	k.await("end", 1)
	k = start(t, keep, `kill -USR1 $PPID; echo x >>$D/runs; exit 1`)
	k.await("log", 1)
	k.cmd.Process.Signal(syscall.SIGTERM)
	if got := k.code(); got != 0 {
		t.Errorf("told to end in a pause, it ended with %d", got)
	}
	if runs := k.await("runs", 1); len(runs) > 2 {
		t.Errorf("ran %d times", len(runs))
	}
}

// adopt starts a process and a keeper that is not its parent.
func adopt(t *testing.T, keep, adopted, script string) (*kept, *exec.Cmd) {
	t.Helper()
	k := &kept{t: t, dir: t.TempDir(), exit: make(chan error, 1)}
	k.log = filepath.Join(k.dir, "log")
	process := exec.Command("sh", "-c", adopted)
	process.Env = append(os.Environ(), "D="+k.dir)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	fd, err := unix.PidfdOpen(process.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd := os.NewFile(uintptr(fd), "process")
	defer pidfd.Close()
	sh, err := os.Open("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	k.cmd = exec.Command(keep, "--adopt", k.log, "sh", "-c", script)
	k.cmd.Env = process.Env
	k.cmd.ExtraFiles = []*os.File{sh, sh, pidfd}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.cmd.Process.Kill() })
	k.listens()
	go func() { k.exit <- k.cmd.Wait() }()
	return k, process
}

// listens waits until a signal would be taken, and not end the keeper before its first step.
func (k *kept) listens() {
	k.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.cmd.Process.Pid))
		if err == nil && strings.Contains(string(b), "SigBlk:\tffff") {
			return
		}
	}
	k.t.Fatal("the keeper never blocked its signals")
}

// TestAdopted: a process that another keeper had started is started again too, and told to end when its keeper is.
func TestAdopted(t *testing.T) {
	keep := build(t)
	k, process := adopt(t, keep, `echo x >>$D/first; while :; do sleep 0.01; done`, `echo $PPID >>$D/runs; n=$(wc -l <$D/runs); [ $n = 2 ] || exit 5; exit 0`)
	k.await("first", 1)
	process.Process.Kill()
	if got := k.code(); got != 0 {
		t.Errorf("ended with %d", got)
	}
	if runs := k.await("runs", 2); len(runs) != 2 || runs[0] != strconv.Itoa(k.cmd.Process.Pid) {
		t.Errorf("ran %v", runs)
	}
	b, err := os.ReadFile(k.log)
	for _, want := range []string{"process ended; starting it again in 1 s\n", "ended, exit code 5; starting it again in"} {
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("the log lacks %q: %s %v", want, b, err)
		}
	}
	k, process = adopt(t, keep, `trap 'echo told >>$D/end; exit 0' TERM; echo x >>$D/first; while :; do sleep 0.01; done`, `echo x >>$D/runs`)
	k.await("first", 1)
	k.cmd.Process.Signal(syscall.SIGTERM)
	k.await("end", 1)
	if got := k.code(); got != 0 {
		t.Errorf("told to end, it ended with %d", got)
	}
	if _, err := os.Stat(filepath.Join(k.dir, "runs")); err == nil {
		t.Error("started again what was told to end")
	}
}
