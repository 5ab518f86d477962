// Package filewatchtest runs tests where few inotify instances are to be had, in a user
// namespace of its own: those of the host are not touched.
//
// Contract: Within starts the calling test again as a process of its own and reports its
// failure; there it returns true, and the test does its work.
package filewatchtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

const env = "HYPERKUBE_TEST_INOTIFY_INSTANCES"

// Within says whether this is the process that may have most instances. flags are further
// namespaces that it gets.
func Within(t *testing.T, most int, flags uintptr) bool {
	t.Helper()
	if os.Getenv(env) != "" {
		if err := os.WriteFile("/proc/sys/user/max_inotify_instances", []byte(strconv.Itoa(most)), 0); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	ids := []syscall.SysProcIDMap{{Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | flags, UidMappings: ids, GidMappings: ids, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("a user namespace cannot be made here:", err)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
