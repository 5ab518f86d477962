package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Cluster is `hyperkube up` on a Host.
type Cluster struct {
	*Host
	Bin        string
	DataDir    string
	Kubeconfig string
	Config     *rest.Config
	Kube       kubernetes.Interface
	// Context ends with the test.
	Context context.Context
}

const (
	upTimeout    = 3 * time.Minute
	resetTimeout = 2 * time.Minute
)

// Up starts a cluster on a new host and loads the test images. It is reset when
// the test ends.
func Up(t testing.TB, flags ...string) *Cluster {
	t.Helper()
	return UpOn(t, NewHost(t), flags...)
}

// UpOn is Up on a host that is there already.
func UpOn(t testing.TB, h *Host, flags ...string) *Cluster {
	t.Helper()
	c := Bare(t, h)
	t.Log(c.Up(flags...))
	c.Connect()
	c.LoadImages()
	return c
}

// Bare is a cluster of which nothing runs yet. It is reset when the test ends.
func Bare(t testing.TB, h *Host) *Cluster {
	t.Helper()
	c := &Cluster{Host: h, Bin: binary(t), DataDir: filepath.Join(h.Dir, "data"), Context: t.Context()}
	c.Kubeconfig = filepath.Join(c.DataDir, "admin.conf")
	t.Cleanup(func() {
		if t.Failed() {
			c.dump()
		}
		if out, err := h.Try(resetTimeout, c.Bin, "reset", "--yes", "--data-dir", c.DataDir); err != nil {
			t.Errorf("reset: %v\n%s", err, out)
		}
	})
	return c
}

// Up runs `hyperkube up`, also again after a stop or a kill.
func (c *Cluster) Up(flags ...string) string {
	c.t.Helper()
	return c.Run(upTimeout, append([]string{c.Bin, "up", "--data-dir", c.DataDir, "--node-name", "node-1"}, flags...)...)
}

// Reset removes the cluster.
func (c *Cluster) Reset() string {
	c.t.Helper()
	return c.Run(resetTimeout, c.Bin, "reset", "--yes", "--data-dir", c.DataDir)
}

// Kill ends the cluster's process, and containerd, as a power cut would, but for
// the containers. Who would start it again goes first.
func (c *Cluster) Kill() {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.DataDir, "lock"))
	keeper := 0
	if err == nil {
		keeper, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	process := 0
	if err == nil {
		process, err = c.PID("hyperkube.pid")
	}
	if err == nil { // so that it starts no other keeper
		err = syscall.Kill(process, syscall.SIGSTOP)
	}
	if err == nil {
		err = syscall.Kill(keeper, syscall.SIGKILL)
	}
	if err != nil {
		c.t.Fatalf("kill -9 of the keeper: %v", err)
	}
	for _, file := range []string{"hyperkube.pid", "containerd.pid"} {
		pid, err := c.PID(file)
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			c.t.Fatalf("kill -9 of %s: %v", file, err)
		}
	}
}

// PID reads one of the cluster's pid files.
func (c *Cluster) PID(file string) (int, error) {
	b, err := os.ReadFile(filepath.Join("/run/hyperkube", ShortID(c.DataDir), file))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// ShortID is how a cluster marks its things on the host.
func ShortID(dataDir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(dataDir)))
	return hex.EncodeToString(sum[:])[:8]
}

// Connect makes the client for the cluster that runs now.
func (c *Cluster) Connect() {
	c.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.QPS, cfg.Burst = -1, -1
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) { return c.Dial(ctx, network, addr) }
	c.Config = cfg
	if c.Kube, err = kubernetes.NewForConfig(cfg); err != nil {
		c.t.Fatal(err)
	}
}

// LoadImages imports the test images.
func (c *Cluster) LoadImages() {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(images(c.t), "*.tar"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no test images: %v", err)
	}
	c.Run(time.Minute, append([]string{c.Bin, "image", "--data-dir", c.DataDir, "import"}, files...)...)
}

// Kubectl runs our kubectl on the host and fails the test if it fails.
func (c *Cluster) Kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.TryKubectl(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// TryKubectl is Kubectl that may fail.
func (c *Cluster) TryKubectl(args ...string) (string, error) {
	return c.Try(2*time.Minute, append([]string{c.Bin, "kubectl", "--kubeconfig", c.Kubeconfig}, args...)...)
}

// Curl fetches a URL from the host.
func (c *Cluster) Curl(url string) (string, error) {
	out, err := c.Try(15*time.Second, "curl", "-sS", "--fail", "--max-time", "10", url)
	return strings.TrimSpace(out), err
}

// dump shows what a failed test needs to be understood.
func (c *Cluster) dump() {
	for _, args := range [][]string{
		{"get", "pods,events", "-A", "-o", "wide"},
		{"describe", "nodes"},
	} {
		if out, err := c.TryKubectl(args...); err == nil {
			c.t.Logf("kubectl %s\n%s", strings.Join(args, " "), tail(out, 200))
		}
	}
	if out, err := c.Try(5*time.Second, "tail", "-n", "100", filepath.Join(c.DataDir, "log", "hyperkube.log")); err == nil {
		c.t.Logf("log\n%s", out)
	}
}

func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	if len(lines) > n {
		lines = append([]string{fmt.Sprintf("… %d lines more …", len(lines)-n)}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}
