package cni

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

	"hyperkube/internal/netns"
	"hyperkube/network/bridge"
)

// node is a network namespace that stands for a node.
type node struct {
	t    *testing.T
	ns   *netns.NS
	conf map[string]any
}

func newNode(t *testing.T) *node {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	n := &node{t: t, ns: ns, conf: map[string]any{
		"cniVersion": "1.1.0", "name": "test", "type": Type, "stateDir": t.TempDir(),
		"subnets": []string{"10.77.0.0/24"}, "mtu": 1400,
	}}
	n.do(func() error {
		if _, err := bridge.Sysctl("net/ipv4/ip_forward", "1"); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n
}

func (n *node) do(f func() error) {
	n.t.Helper()
	if err := n.ns.Do(f); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) args(id string, pod *netns.NS, extra map[string]any) *skel.CmdArgs {
	conf := map[string]any{}
	for k, v := range n.conf {
		conf[k] = v
	}
	for k, v := range extra {
		conf[k] = v
	}
	raw, err := json.Marshal(conf)
	if err != nil {
		n.t.Fatal(err)
	}
	a := &skel.CmdArgs{ContainerID: id, IfName: "eth0", StdinData: raw}
	if pod != nil {
		a.Netns = pod.Path()
	}
	return a
}

// pod makes a namespace and adds it to the network.
func (n *node) pod(id string, extra map[string]any) (*netns.NS, net.IP) {
	n.t.Helper()
	ns, err := netns.New()
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = ns.Close() })
	var ip net.IP
	n.do(func() error {
		res, _, err := Add(n.args(id, ns, extra))
		if err == nil {
			ip = res.IPs[0].Address.IP
		}
		return err
	})
	return ns, ip
}

func (n *node) links() int {
	count := 0
	n.do(func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			if l.Type() == "veth" {
				count++
			}
		}
		return err
	})
	return count
}

// serve answers every TCP connection in ns with the caller's address.
func serve(t *testing.T, ns *netns.NS, addr string) {
	t.Helper()
	var l net.Listener
	if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", addr); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, c.RemoteAddr())
			_ = c.Close()
		}
	}()
}

func ask(ns *netns.NS, addr string) (seen string, err error) {
	err = ns.Do(func() error {
		c, err := net.DialTimeout("tcp", addr, 3*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		b := make([]byte, 100)
		k, err := c.Read(b)
		seen = string(b[:k])
		return err
	})
	return seen, err
}

func TestPodsReachEachOther(t *testing.T) {
	n := newNode(t)
	a, ipA := n.pod("a", nil)
	b, ipB := n.pod("b", nil)
	serve(t, b, ":80")
	seen, err := ask(a, ipB.String()+":80")
	if err != nil {
		t.Fatal("pod to pod:", err)
	}
	if host, _, _ := net.SplitHostPort(seen); host != ipA.String() {
		t.Errorf("b saw %s, want %s", host, ipA)
	}
	if _, err := ask(n.ns, ipB.String()+":80"); err != nil {
		t.Error("node to pod:", err)
	}
	serve(t, n.ns, ":81")
	if _, err := ask(a, "10.77.0.1:81"); err != nil {
		t.Error("pod to node:", err)
	}
	n.do(func() error { return Check(n.args("b", b, nil)) })
}

func TestDelIsCompleteAndRepeatable(t *testing.T) {
	n := newNode(t)
	ns, first := n.pod("a", nil)
	for range 2 {
		n.do(func() error { return Del(n.args("a", ns, nil)) })
	}
	if n.links() != 0 {
		t.Error("a link is left")
	}
	if err := n.ns.Do(func() error { return Check(n.args("a", ns, nil)) }); err == nil {
		t.Error("CHECK of a removed container succeeds")
	}
	if _, second := n.pod("b", nil); second.Equal(first) {
		t.Errorf("address %s is used again at once", first)
	}
}

func TestFailedAddLeavesNothing(t *testing.T) {
	n := newNode(t)
	ns, _ := n.pod("a", nil)
	if err := n.ns.Do(func() error { _, _, err := Add(n.args("b", ns, nil)); return err }); err == nil {
		t.Fatal("a second eth0 in one namespace")
	}
	if n.links() != 1 {
		t.Error("the failed ADD left a link")
	}
	if held := n.held(); held != 1 {
		t.Errorf("%d addresses held, want 1", held)
	}
}

func (n *node) held() int {
	entries, err := os.ReadDir(AddressDir(n.conf["stateDir"].(string)) + "/ips")
	if err != nil {
		n.t.Fatal(err)
	}
	return len(entries)
}

func TestGCKeepsOnlyValid(t *testing.T) {
	n := newNode(t)
	for _, id := range []string{"a", "b", "c"} {
		n.pod(id, map[string]any{"runtimeConfig": map[string]any{"portMappings": []map[string]any{
			{"HostPort": 8000 + int(id[0]), "ContainerPort": 80, "Protocol": "tcp"}}}})
	}
	n.do(func() error {
		return GC(n.args("", nil, map[string]any{"cni.dev/valid-attachments": []types.GCAttachment{{ContainerID: "b", IfName: "eth0"}}}))
	})
	if n.links() != 1 || n.held() != 1 {
		t.Errorf("%d links and %d addresses left, want 1 of each", n.links(), n.held())
	}
	ports, err := ReadPorts(n.conf["stateDir"].(string))
	if err != nil || len(ports) != 1 || ports[0].Owner.Container != "b" {
		t.Errorf("ports left: %v, %v", ports, err)
	}
}

func TestHostPort(t *testing.T) {
	n := newNode(t)
	client, _ := n.pod("client", nil)
	web, _ := n.pod("web", map[string]any{"runtimeConfig": map[string]any{"portMappings": []map[string]any{
		{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp"}}}})
	serve(t, web, ":80")
	n.do(func() error { _, err := bridge.Sysctl("net/ipv4/conf/cbr0/route_localnet", "1"); return err })
	for from, ns := range map[string]*netns.NS{"node": n.ns, "pod": client, "itself": web} {
		if _, err := ask(ns, "10.77.0.1:8080"); err != nil {
			t.Errorf("from %s: %v", from, err)
		}
	}
	if _, err := ask(n.ns, "127.0.0.1:8080"); err != nil {
		t.Errorf("by 127.0.0.1: %v", err)
	}
	taken := n.ns.Do(func() error {
		other, err := netns.New()
		if err != nil {
			return err
		}
		defer other.Close()
		_, _, err = Add(n.args("other", other, map[string]any{"runtimeConfig": map[string]any{"portMappings": []map[string]any{
			{"HostPort": 8080, "ContainerPort": 81, "Protocol": "tcp"}}}}))
		return err
	})
	if taken == nil {
		t.Error("one host port for two pods")
	}
	n.do(func() error { return Del(n.args("web", web, nil)) })
	if _, err := ask(client, "10.77.0.1:8080"); err == nil {
		t.Error("host port answers after DEL")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"x","subnets":["10.0.0.0/24"],"stateDir":"/x","runtimeConfig":{"portMappings":[{"hostPort":1}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := decode(raw)
		if err == nil && (len(n.subnets) == 0 || n.Bridge == "") {
			t.Errorf("accepted %s", raw)
		}
	})
}
