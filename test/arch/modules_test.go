package arch

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestModules holds the list of what the binary is made from against testdata/modules.txt: a module that comes in,
// also by way of another, is seen by whoever reads the change, and has its paragraph in docs/adr.
func TestModules(t *testing.T) {
	want, err := os.ReadFile("testdata/modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "hyperkube/cmd/hyperkube").Output()
	if err != nil {
		t.Fatalf("listing what the binary is made from: %v", err)
	}
	have := strings.Fields(string(out))
	slices.Sort(have)
	have = slices.Compact(have)
	listed := strings.Fields(string(want))
	for _, m := range have {
		if !slices.Contains(listed, m) {
			t.Errorf("the binary now contains %s: say in docs/adr why, then add it to testdata/modules.txt", m)
		}
	}
	for _, m := range listed {
		if !slices.Contains(have, m) {
			t.Errorf("testdata/modules.txt lists %s, which the binary no longer contains", m)
		}
	}
}
