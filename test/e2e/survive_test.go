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

// TestKilled: kill -9 of everything but the containers, in the middle of a rollout.
func TestKilled(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("create", "deployment", "stays", "--image="+nginx+"v1", "--replicas=2")
	k.ok("create", "deployment", "rolls", "--image="+nginx+"v1", "--replicas=4")
	k.ok("rollout", "status", "deployment/stays", "--timeout=60s")
	k.ok("rollout", "status", "deployment/rolls", "--timeout=60s")
	before := k.ok("get", "pods", "-l", "app=stays", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID} {.status.podIP}{"\n"}{end}`)
	for i := range 20 {
		k.ok("create", "configmap", fmt.Sprintf("kept-%d", i), "--from-literal=n="+strconv.Itoa(i))
	}
	k.ok("set", "image", "deployment/rolls", "nginx="+nginx+"v2")
	k.Eventually(30*time.Second, "the rollout under way", func() error {
		if out := k.ok("get", "deployment", "rolls", "-o", "jsonpath={.status.updatedReplicas}"); out == "" || out == "0" {
			return fmt.Errorf("updated replicas: %q", out)
		}
		return nil
	})
	c.Kill()
	c.Up()
	k.says("successfully rolled out", "rollout", "status", "deployment/rolls", "--timeout=90s")
	if out := strings.Fields(k.ok("get", "configmaps", "-o", "name")); len(out) != 21 { // and kube-root-ca.crt
		t.Errorf("objects after the kill: %d, want 21", len(out))
	}
	after := k.ok("get", "pods", "-l", "app=stays", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID} {.status.podIP}{"\n"}{end}`)
	if before != after {
		t.Errorf("containers did not live on\nbefore:\n%safter:\n%s", before, after)
	}
	k.says("2/2", "get", "deployment", "stays")
	k.addresses()
}

// addresses: every address taken from the pool belongs to a pod that is there.
func (k *client) addresses() {
	k.t.Helper()
	k.Eventually(60*time.Second, "no leaked address", func() error {
		out, err := k.try("get", "pods", "-A", "-o", `jsonpath={range .items[*]}{.status.podIP}{"\n"}{end}`)
		if err != nil {
			return err
		}
		inUse := map[string]bool{}
		for ip := range strings.FieldsSeq(out) {
			inUse[ip] = true
		}
		taken, err := os.ReadDir(filepath.Join(k.DataDir, "cni", "state", "addresses", "ips"))
		if err != nil {
			return err
		}
		for _, e := range taken {
			if !inUse[e.Name()] {
				return fmt.Errorf("%s is taken by no pod (pods have %v)", e.Name(), inUse)
			}
		}
		if len(taken) == 0 {
			return fmt.Errorf("no address is taken at all")
		}
		return nil
	})
}

// TestDownAndUp: down leaves the containers, up takes them over.
func TestDownAndUp(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("create", "deployment", "web", "--image="+nginx+"v1")
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")
	ip := k.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].status.podIP}")
	id := k.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].status.containerStatuses[0].containerID}")
	if out := c.Up(); !strings.Contains(out, "up already") {
		t.Errorf("a second up says: %s", out)
	}
	c.Run(time.Minute, c.Bin, "down", "--data-dir", c.DataDir)
	if _, err := c.Curl("http://" + ip + "/healthz"); err != nil {
		t.Errorf("the container stopped with the cluster: %v", err)
	}
	if out, err := c.Try(10*time.Second, c.Bin, "status", "--data-dir", c.DataDir); err == nil {
		t.Errorf("status of a stopped cluster is healthy: %s", out)
	}
	c.Up()
	if now := k.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].status.containerStatuses[0].containerID}"); now != id {
		t.Errorf("container %s became %s", id, now)
	}
	k.says("0", "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].status.containerStatuses[0].restartCount}")
	c.Run(10*time.Second, c.Bin, "status", "--data-dir", c.DataDir)
}

// TestCrashes: a container that exits comes back with backoff; an image that
// is nowhere gives the reason.
func TestCrashes(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("run", "crash", "--image=hyperkube.test/busybox:v1", "--command", "--", "sh", "-c", "exit 3")
	k.ok("run", "nowhere", "--image=hyperkube.test/absent:v9")
	k.Eventually(90*time.Second, "CrashLoopBackOff", func() error {
		out := k.ok("get", "pod", "crash", "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.waiting.reason} {.status.containerStatuses[0].lastState.terminated.exitCode}")
		if w := strings.Fields(out); len(w) != 3 || w[0] == "0" || w[1] != "CrashLoopBackOff" || w[2] != "3" {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	seen := map[string]bool{}
	k.Eventually(90*time.Second, "ErrImagePull and ImagePullBackOff", func() error {
		seen[k.ok("get", "pod", "nowhere", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}")] = true
		if !seen["ImagePullBackOff"] {
			return fmt.Errorf("saw %v", seen)
		}
		return nil
	})
	k.says("Failed to pull image|ErrImagePull|hyperkube.test/absent:v9", "describe", "pod", "nowhere")
	k.says("Back-off restarting failed container", "describe", "pod", "crash")
}

// TestPartsKilled: containerd dies alone, then the cluster's process; each comes back by
// itself and knows its containers.
func TestPartsKilled(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("create", "deployment", "web", "--image="+nginx+"v1")
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")
	pid, err := c.PID("containerd.pid")
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.Eventually(30*time.Second, "a new containerd", func() error {
		now, err := c.PID("containerd.pid")
		if err == nil && now == pid {
			err = fmt.Errorf("still %d", pid)
		}
		return err
	})
	k.ok("scale", "deployment/web", "--replicas=2")
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")
	killedProcess(t, c)
	killedKeeper(t, c)
	killedProcess(t, c)
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")
	k.says("0 0", "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}")
}

// killedProcess kills the cluster's process; `up` then waits until it is there again.
func killedProcess(t *testing.T, c *harness.Cluster) {
	t.Helper()
	pid, err := c.PID("hyperkube.pid")
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out := c.Up(); !strings.Contains(out, "up already") {
		t.Errorf("up, while the process is started again: %s", out)
	}
	now, err := c.PID("hyperkube.pid")
	if err != nil || now == pid {
		t.Errorf("the process is still %d: %v", now, err)
	}
	b, err := os.ReadFile(filepath.Join(c.DataDir, "log", "hyperkube.log"))
	if err != nil || !strings.Contains(string(b), "starting it again in 1 s") {
		t.Errorf("the log does not say why it was started again: %v", err)
	}
}

// killedKeeper kills the one that starts the process again; the process gets another one.
func killedKeeper(t *testing.T, c *harness.Cluster) {
	t.Helper()
	keeper := func() (int, error) {
		b, err := os.ReadFile(filepath.Join(c.DataDir, "lock"))
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(string(b)))
	}
	for range 2 { // the second is a child of what it keeps
		pid, err := keeper()
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Eventually(30*time.Second, "another keeper", func() error {
			now, err := keeper()
			if err == nil && now == pid {
				err = fmt.Errorf("still %d", pid)
			}
			return err
		})
	}
	c.Run(10*time.Second, c.Bin, "status", "--data-dir", c.DataDir)
}
