package e2e

import (
	"strings"
	"testing"
	"time"

	"hyperkube/test/harness"
)

// TestShell: a cluster is the same whatever the shell is like that it was started from.
func TestShell(t *testing.T) {
	h := harness.NewHost(t)
	c := harness.Bare(t, h)
	shell := `umask 077; export TMPDIR=/nowhere HOME=/nowhere; exec "$0" "$@"`
	t.Log(h.Run(3*time.Minute, "sh", "-c", shell, c.Bin, "up", "--data-dir", c.DataDir, "--node-name", "node-1"))
	c.Connect()
	c.LoadImages()
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("run", "asks", "--image=hyperkube.test/busybox:v1", "--restart=Never", "--command", "--", "sh", "-c", "umask")
	k.ok("wait", "pod/asks", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
	if out := strings.Fields(k.ok("logs", "asks")); len(out) != 1 || out[0] != "0022" {
		t.Errorf("umask of a pod: %v", out)
	}
}
