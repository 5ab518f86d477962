package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyperkube/test/harness"
)

// TestHostTroubles: a directory that is out of reach, a disk that has become read-only and an
// address that is gone lose nothing, are told, and can be ended and mended.
func TestHostTroubles(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	c.Run(time.Minute, c.Bin, "down", "--data-dir", c.DataDir)
	c.Up("--start-empty", "--new-encryption-key") // nothing is lost: nothing is given up
	k.ok("create", "secret", "generic", "kept", "--from-literal=a=b")
	kill := func() {
		t.Helper()
		pid, err := c.PID("hyperkube.pid")
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, lost := range []struct{ name, told string }{{"etcd", " is lost or empty"}, {"pki/encryption.yaml", ", with the key that all secrets are encrypted under, cannot be read"}} {
		path := filepath.Join(c.DataDir, lost.name)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		kill()
		c.Eventually(60*time.Second, "a refusal in the log", func() error {
			b, err := os.ReadFile(filepath.Join(c.DataDir, "log", "hyperkube.log"))
			if err == nil && !strings.Contains(string(b), path+lost.told) {
				err = fmt.Errorf("%s is not missed", path)
			}
			if _, there := os.Stat(path); there == nil {
				t.Fatalf("%s was made anew by the keeper's start, which nobody asked to give it up", path)
			}
			return err
		})
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		c.Eventually(60*time.Second, "service again", func() error {
			out, err := c.Try(10*time.Second, c.Bin, "kubectl", "--kubeconfig", c.Kubeconfig, "get", "secret", "kept", "-o", "jsonpath={.data.a}")
			if err == nil && out != "Yg==" {
				err = fmt.Errorf("%q", out)
			}
			return err
		})
	}
	readOnly(t, c)
	moved(t, c)
}

// readOnly: a cluster on a disk that has become read-only is seen and ended.
func readOnly(t *testing.T, c *harness.Cluster) {
	t.Helper()
	with := func(verb string) (string, error) {
		return c.Try(90*time.Second, "unshare", "-m", "--propagation", "private", "sh", "-c",
			`mount --bind "$2" "$2" && mount -o remount,bind,ro "$2" && exec "$1" `+verb+` --data-dir "$2"`, "sh", c.Bin, c.DataDir)
	}
	if out, err := with("status"); err != nil || strings.Contains(out, "NOT OK") {
		t.Errorf("status: %s %v", out, err)
	}
	pid, err := c.PID("hyperkube.pid")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := with("down"); err != nil {
		t.Errorf("down: %s %v", out, err)
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
		t.Error("down did not end the cluster")
	}
}

// moved: an address that is gone is told with the way on, and pods' own bridge never becomes
// the node's.
func moved(t *testing.T, c *harness.Cluster) {
	t.Helper()
	out := c.Run(10*time.Second, "ip", "-4", "-o", "address", "show", "scope", "global")
	var link, address string
	for line := range strings.Lines(out) {
		if w := strings.Fields(line); len(w) > 3 && w[1] != "cbr0" {
			link, address = w[1], w[3]
		}
	}
	routes := c.Run(10*time.Second, "ip", "route", "show", "default")
	c.Run(10*time.Second, "ip", "address", "del", address, "dev", link)
	if out, err := c.Try(60*time.Second, c.Bin, "up", "--data-dir", c.DataDir); err == nil || !strings.Contains(err.Error(), "--node-ip") {
		t.Errorf("up with no address but the bridge's: %s %v", out, err)
	}
	restore := func() {
		c.Run(10*time.Second, "ip", "address", "add", address, "dev", link)
		if w := strings.Fields(routes); len(w) > 0 {
			c.Run(10*time.Second, append([]string{"ip", "route", "replace"}, w...)...)
		}
	}
	restore()
	c.Up()
	c.Run(10*time.Second, "ip", "address", "del", address, "dev", link)
	if out, _ := c.Try(30*time.Second, c.Bin, "status", "--data-dir", c.DataDir); !strings.Contains(out, "has not "+strings.Split(address, "/")[0]) || !strings.Contains(out, "hyperkube down") {
		t.Errorf("status of a cluster whose address is gone: %s", out)
	}
	restore()
	c.Eventually(30*time.Second, "health", func() error {
		_, err := c.Try(10*time.Second, c.Bin, "status", "--data-dir", c.DataDir)
		return err
	})
}
