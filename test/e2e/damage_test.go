package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/test/harness"
)

// TestRuntimeDamaged: containerd loses its database, then what that refers to. Nothing but images and what containers
// wrote into themselves is lost, so the node comes back by itself; an image that comes from no registry is imported by
// hand, and found.
func TestRuntimeDamaged(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("run", "web", "--image="+nginx+"v1", "--image-pull-policy=Never")
	k.ok("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
	root := filepath.Join(c.DataDir, "containerd", "root")
	meta := filepath.Join(root, "io.containerd.metadata.v1.bolt", "meta.db")
	layers := filepath.Join(root, "io.containerd.snapshotter.v1.overlayfs")
	for _, damage := range []struct {
		what string
		do   func() error
	}{
		{"database lost", func() error { return os.Remove(meta) }},
		{"database garbled", func() error { return os.WriteFile(meta, []byte(strings.Repeat("garbage ", 10_000)), 0o600) }},
		{"layers lost", func() error {
			return errors.Join(os.Remove(filepath.Join(layers, "metadata.db")), os.RemoveAll(filepath.Join(layers, "snapshots")))
		}},
	} {
		c.Run(time.Minute, c.Bin, "down", "--data-dir", c.DataDir)
		if err := damage.do(); err != nil {
			t.Fatal(err)
		}
		if out := c.Up(); !strings.Contains(out, "is set aside") {
			t.Errorf("%s: up says %s", damage.what, out)
		}
		// One shim serves the pod of DNS; whatever ran before is not there beside it.
		k.Eventually(30*time.Second, "no shim of before", func() error {
			out, err := c.Try(10*time.Second, "pgrep", "-fc", "containerd-shim.*"+harness.ShortID(c.DataDir))
			if n := strings.TrimSpace(out); err != nil || n != "1" && n != "2" {
				return fmt.Errorf("%s shims: %v", n, err)
			}
			return nil
		})
		c.LoadImages()
		k.ok("wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
	}
}
