package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyperkube/test/harness"
)

// TestFullDisk: a disk that fills up ends writes and nothing else; room ends the trouble.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir() // mounted here first: the host's own mounts show nothing outside
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1200m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	h := harness.NewHost(t)
	c := harness.Bare(t, h)
	c.DataDir = filepath.Join(disk, "data")
	c.Kubeconfig = filepath.Join(c.DataDir, "admin.conf")
	t.Log(c.Up())
	c.Connect()
	c.LoadImages()
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("create", "deployment", "web", "--image="+nginx+"v1")
	k.ok("expose", "deployment", "web", "--port=80")
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")
	url := "http://" + k.ok("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	pid, err := c.PID("hyperkube.pid")
	if err != nil {
		t.Fatal(err)
	}
	fill := filepath.Join(c.DataDir, "log", "fill")
	if out, err := h.Try(30*time.Second, "dd", "if=/dev/zero", "of="+fill, "bs=1M"); err == nil || !strings.Contains(out, "No space left") {
		t.Fatalf("the disk is not full: %v %s", err, out)
	}
	k.Eventually(20*time.Second, "a refusal that names the disk", func() error {
		out, err := k.try("create", "configmap", "full", "--from-literal=a=b")
		if err == nil {
			k.ok("delete", "configmap", "full")
			return errors.New("still written")
		}
		if !strings.Contains(out, "disk") || !strings.Contains(out, c.DataDir) {
			return fmt.Errorf("says only %s", out)
		}
		return nil
	})
	k.ok("get", "pods")
	if out, err := c.Curl(url); err != nil {
		t.Errorf("the service does not go on: %v %s", err, out)
	}
	h.Run(10*time.Second, "rm", fill)
	began := time.Now()
	k.Eventually(30*time.Second, "writes again", func() error {
		out, err := k.try("create", "configmap", "after", "--from-literal=a=b")
		if err != nil {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	t.Logf("writes go on %v after there is room", time.Since(began))
	k.ok("scale", "deployment/web", "--replicas=2")
	k.ok("rollout", "status", "deployment/web", "--timeout=120s")
	if now, err := c.PID("hyperkube.pid"); err != nil || now != pid {
		t.Errorf("the process did not live through it: %d, was %d: %v", now, pid, err)
	}
}
