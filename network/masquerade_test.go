package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/vishvananda/netlink"

	"hyperkube/internal/netns"
	"hyperkube/network/cni"
)

// TestPodsLeaveTheClusterMasqueraded runs the agent, joins a pod with the agent's own
// configuration and has it call a host outside, which knows no way back to pods.
func TestPodsLeaveTheClusterMasqueraded(t *testing.T) {
	for _, bridgeNF := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables="+bridgeNF, func(t *testing.T) { masqueraded(t, bridgeNF) })
	}
}

func masqueraded(t *testing.T, bridgeNF string) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home, outside, pod, other := namespace(t), namespace(t), namespace(t), namespace(t)
	in(t, home, uplink)
	in(t, home, func() error {
		peer, err := netlink.LinkByName("up1")
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(peer, outside.Fd())
	})
	in(t, outside, func() error { return configure("up1", "192.168.7.2/24") })
	dir := t.TempDir()
	o := Options{NodeName: "me", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.3.0/24")}, ConfDir: dir, StateDir: filepath.Join(dir, "state"),
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}, Log: slog.New(slog.DiscardHandler)}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- home.Do(func() error { return n.Run(ctx) }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-n.Ready():
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	in(t, home, func() error { return os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte(bridgeNF), 0) })
	join(t, home, pod, o, "a")
	otherIP := join(t, home, other, o, "b")
	tellCaller(t, outside)
	tellCaller(t, other)
	if seen := caller(t, pod, "192.168.7.2:80"); seen != "192.168.7.1" {
		t.Errorf("outside saw %s, want the node's address", seen)
	}
	if seen := caller(t, pod, otherIP+":80"); !strings.HasPrefix(seen, "10.77.3.") {
		t.Errorf("another pod saw %s, want the pod's address", seen)
	}
}

func namespace(t *testing.T) *netns.NS {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

func in(t *testing.T, ns *netns.NS, f func() error) {
	t.Helper()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

func configure(name, addr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(link, a), netlink.LinkSetUp(link))
}

// join does what a container runtime does with the agent's configuration.
func join(t *testing.T, home, pod *netns.NS, o Options, id string) (ip string) {
	t.Helper()
	return joinAt(t, home, pod.Path(), o, id)
}

// joinAt is join with the file that the runtime keeps the namespace in, joinWith also with
// a host port.
func joinAt(t *testing.T, home *netns.NS, file string, o Options, id string) (ip string) {
	t.Helper()
	return joinWith(t, home, file, o, id, 0)
}

func joinWith(t *testing.T, home *netns.NS, file string, o Options, id string, hostPort int) (ip string) {
	t.Helper()
	in(t, home, func() error {
		res, _, err := cni.Add(&skel.CmdArgs{ContainerID: id, IfName: "eth0", Netns: file, StdinData: stdin(t, o, hostPort)})
		if err == nil {
			ip = res.IPs[0].Address.IP.String()
		}
		return err
	})
	return ip
}

// leave undoes join.
func leave(t *testing.T, home *netns.NS, file string, o Options, id string) {
	t.Helper()
	in(t, home, func() error {
		return cni.Del(&skel.CmdArgs{ContainerID: id, IfName: "eth0", Netns: file, StdinData: stdin(t, o, 0)})
	})
}

func stdin(t *testing.T, o Options, hostPort int) []byte {
	t.Helper()
	if hostPort == 0 {
		return stdinWith(t, o, nil)
	}
	return stdinWith(t, o, []mapping{{"hostPort": hostPort, "containerPort": 80, "protocol": "TCP"}})
}

// stdinWith is the agent's configuration as a runtime hands it to the plugin.
func stdinWith(t *testing.T, o Options, ports []mapping) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(o.ConfDir, ConfName))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		CNIVersion, Name string
		Plugins          []map[string]any
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	conf := list.Plugins[0]
	conf["name"], conf["cniVersion"] = list.Name, list.CNIVersion
	if len(ports) > 0 {
		conf["runtimeConfig"] = map[string]any{"portMappings": ports}
	}
	out, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tellCaller(t *testing.T, ns *netns.NS) {
	t.Helper()
	var l net.Listener
	in(t, ns, func() (err error) { l, err = net.Listen("tcp", ":80"); return err })
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprint(c, strings.TrimPrefix(host, "::ffff:"))
			_ = c.Close()
		}
	}()
}

func caller(t *testing.T, ns *netns.NS, addr string) (seen string) {
	t.Helper()
	in(t, ns, func() error {
		c, err := net.DialTimeout("tcp", addr, 3*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		b := make([]byte, 100)
		n, err := c.Read(b)
		seen = string(b[:n])
		return err
	})
	return seen
}
