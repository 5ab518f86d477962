package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedAgain: a root that is damaged when others were before is set aside beside them.
// The first is never removed, and never are there more than three.
func TestDamagedAgain(t *testing.T) {
	r := fakeRuntime(t, "")
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	r.o.Config.Root = root
	var told []string
	r.o.Tell = func(s string) { told = append(told, s) }
	for _, name := range []string{"root.damaged.x", "root.damaged.02", "rootless.damaged", "root.damaged.1"} { // somebody's own
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range []string{"1", "1 2", "1 2 3", "1 3 4", "1 4 5"} {
		if err := os.MkdirAll(filepath.Join(root, overlayDir, "snapshots", "1"), 0o700); err != nil { // without a database
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "which"), []byte(fmt.Sprint(n+1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.renew(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(root); err == nil {
			t.Error("the damaged root is in its place still")
		}
		have, err := asides(root)
		if got := strings.Trim(fmt.Sprint(have), "[]"); got != want || err != nil {
			t.Errorf("after damage %d: %s, %v; want %s", n+1, got, err, want)
		}
		for _, k := range have {
			if b, err := os.ReadFile(filepath.Join(aside(root, k), "which")); err != nil || string(b) != fmt.Sprint(k) {
				t.Errorf("%s has what damage %s left, %v", aside(root, k), b, err)
			}
		}
	}
	if len(told) != 5 || !strings.Contains(told[4], "root.damaged.5") {
		t.Errorf("told %q", told)
	}
	told = nil
	r.tellAsides()
	if len(told) != 1 || !strings.Contains(told[0], root+".damaged, "+root+".damaged.4, "+root+".damaged.5:") {
		t.Errorf("told %q", told)
	}
	for _, name := range []string{"root.damaged.x", "root.damaged.02", "rootless.damaged", "root.damaged.1"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("somebody's own: %v", err)
		}
	}
}
