// Package harness makes hosts for tests: a network and mount namespace with an
// address and a default route, in which the real binary runs a real cluster. A
// test on such a host sends no packet to the machine it runs on, and several can
// run side by side.
//
// Contract: what a Host or Cluster started is gone when the test ends, and the
// test fails if something stayed behind.
package harness

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/netns"
)

// Host is a machine made of namespaces.
type Host struct {
	t      testing.TB
	holder *exec.Cmd // keeps the namespaces
	ns     *netns.NS
	Addr   string
	Dir    string // private scratch folder
}

const (
	hostAddr = "192.0.2.10/24"
	hostGate = "192.0.2.1"
)

// NewHost makes an empty host.
func NewHost(t testing.TB) *Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests run real containers: run them as root")
	}
	dir, err := os.MkdirTemp("", "hyperkube-host-")
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{t: t, Dir: dir, Addr: strings.TrimSuffix(hostAddr, "/24")}
	// Propagation is private, so that mounts made inside never show outside.
	h.holder = exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity")
	h.holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	h.awaitNamespaces()
	if h.ns, err = netns.Open(fmt.Sprintf("/proc/%d/ns/net", h.holder.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	if err := h.ns.Do(configure); err != nil {
		t.Fatalf("configuring the host: %v", err)
	}
	return h
}

// awaitNamespaces waits until unshare has become sleep, which is after it moved.
func (h *Host) awaitNamespaces() {
	h.t.Helper()
	comm := fmt.Sprintf("/proc/%d/comm", h.holder.Process.Pid)
	h.Eventually(10*time.Second, "namespaces", func() error {
		b, err := os.ReadFile(comm)
		if err == nil && strings.TrimSpace(string(b)) != "sleep" {
			err = fmt.Errorf("still %s", b)
		}
		return err
	})
}

// configure gives the host loopback, an address and a way out that leads nowhere.
func configure() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	// A pair with its other end beside it: the kernel need not have dummy links.
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "wire0"}); err != nil {
		return err
	}
	wire, err := netlink.LinkByName("wire0")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(wire); err != nil {
		return err
	}
	eth, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(hostAddr)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(eth, addr); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(eth); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: net.ParseIP(hostGate)})
}

func (h *Host) close() {
	if h.ns != nil {
		h.ns.Close()
	}
	h.holder.Process.Kill()
	h.holder.Wait()
	if err := os.RemoveAll(h.Dir); err != nil {
		h.t.Errorf("removing the host's folder: %v", err)
	}
}

// Command is a command on the host.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	pid := strconv.Itoa(h.holder.Process.Pid)
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", pid, "--net", "--mount", "--"}, args...)...)
}

// Try runs a command on the host and returns its combined output.
func (h *Host) Try(timeout time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	out, err := h.Command(ctx, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("after %s: %w", timeout, ctx.Err())
	}
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// Run is Try that fails the test.
func (h *Host) Run(timeout time.Duration, args ...string) string {
	h.t.Helper()
	out, err := h.Try(timeout, args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// Dial connects from the host.
func (h *Host) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	e := h.ns.Do(func() error {
		c, err = (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, addr)
		return nil
	})
	if e != nil {
		return nil, e
	}
	return c, err
}

// Do runs f in the host's network.
func (h *Host) Do(f func() error) error { return h.ns.Do(f) }

// Eventually calls check until it succeeds; it fails the test with check's last
// words when the time is up.
func (h *Host) Eventually(timeout time.Duration, what string, check func() error) {
	h.t.Helper()
	Eventually(h.t, timeout, what, check)
}

// Eventually is Host.Eventually for tests without a host.
func Eventually(t testing.TB, timeout time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not after %s: %v", what, timeout, err)
		case <-tick.C:
		}
	}
}

// binary and images are where `make` put them.
func binary(t testing.TB) string { return fromEnv(t, "HYPERKUBE_BIN", "bin/hyperkube") }
func images(t testing.TB) string { return fromEnv(t, "HYPERKUBE_IMAGES", "build/images") }

func fromEnv(t testing.TB, name, fallback string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		path = filepath.Join(moduleRoot(t), fallback)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build images` first, or set %s", err, name)
	}
	return path
}

// moduleRoot is the folder of go.mod above the test's.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}
