package runtime

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPauseProfile: the profile is what runtimes read, and allows nothing that could reach out.
func TestPauseProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seccomp", "sandbox.json")
	if err := WritePauseProfile(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		DefaultAction string
		Syscalls      []struct {
			Names  []string
			Action string
		}
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if p.DefaultAction != "SCMP_ACT_ERRNO" {
		t.Errorf("default action %s", p.DefaultAction)
	}
	var seen []string
	for _, s := range p.Syscalls {
		seen = append(seen, s.Names...)
	}
	for _, must := range []string{"rt_sigtimedwait", "execve"} {
		if !slices.Contains(seen, must) {
			t.Errorf("%s is not allowed", must)
		}
	}
	for _, never := range []string{"socket", "connect", "ptrace", "mount", "bpf", "unshare", "setns", "unlinkat"} {
		if slices.Contains(seen, never) {
			t.Errorf("%s is allowed", never)
		}
	}
}
