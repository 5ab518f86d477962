package runtime

import (
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// TestShimIsFound: containerd finds the shim by its name, wherever the configuration says
// that it is, and however often the role serves.
func TestShimIsFound(t *testing.T) {
	dir := t.TempDir()
	libexec := filepath.Join(dir, "libexec")
	if err := os.MkdirAll(libexec, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"containerd-shim-runc-v2", "runc"} {
		if err := os.WriteFile(filepath.Join(libexec, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config.toml")
	if err := WriteConfig(Config{Root: dir, State: filepath.Join(dir, "s"), Socket: filepath.Join(dir, "sock"), Libexec: libexec}, path); err != nil {
		t.Fatal(err)
	}
	cfg := &srvconfig.Config{Version: version.ConfigVersion}
	all := registry.Graph(func(*plugin.Registration) bool { return false })
	if err := srvconfig.LoadConfigWithPlugins(t.Context(), path, func() iter.Seq[plugin.Registration] { return slices.Values(all) }, cfg); err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"/usr/bin:/bin", "", libexec + ":/bin"} {
		t.Setenv("PATH", before)
		for range 2 {
			if err := findable(cfg.Plugins); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"containerd-shim-runc-v2", "runc"} {
			if got, err := exec.LookPath(name); err != nil || got != filepath.Join(libexec, name) {
				t.Errorf("PATH=%q, then %q: %s is %q, %v", before, os.Getenv("PATH"), name, got, err)
			}
		}
		if list := filepath.SplitList(os.Getenv("PATH")); len(list) != len(filepath.SplitList(before)) && len(list) != len(filepath.SplitList(before))+1 {
			t.Errorf("PATH=%q became %q", before, os.Getenv("PATH"))
		}
	}
}
