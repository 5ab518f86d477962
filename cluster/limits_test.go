package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLimits: a shell's low limits are raised, or refused by their names: nothing starts with
// them.
func TestLimits(t *testing.T) {
	if os.Getenv("TEST_LIMITS") != "" {
		err := checkLimits()
		for _, l := range limits {
			var have unix.Rlimit
			if e := unix.Getrlimit(l.resource, &have); e != nil || have.Cur < l.least && (err == nil || !strings.Contains(err.Error(), "`ulimit "+l.flag)) {
				t.Errorf("limit %s is %d: %v %v", l.flag, have.Cur, e, err)
			}
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"-S -n 64", "-n 64", "-f 2048"} {
		child := exec.Command("sh", "-c", fmt.Sprintf("ulimit %s && exec %q -test.run '^TestLimits$'", set, self))
		child.Env = append(os.Environ(), "TEST_LIMITS=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("ulimit %s: %v\n%s", set, err, out)
		}
	}
}
