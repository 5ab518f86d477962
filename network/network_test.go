package network

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"

	"hyperkube/internal/netns"
	"hyperkube/internal/nft"
	"hyperkube/kit"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
	"hyperkube/network/ipam"
)

type nodeSource struct{ *fcache.FakeControllerSource }

func (s nodeSource) ListerWatcher(schema.GroupVersionResource, kit.SourceOptions) cache.ListerWatcherWithContext {
	return plain{cache.ToListerWatcherWithContext(s.FakeControllerSource)}
}

type plain struct{ cache.ListerWatcherWithContext }

func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func node(name, cidr, ip string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}}}}
}

// patience is for machines that have much else to do; what works does not need it.
const patience = 30 * time.Second

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	err := f()
	for tick := time.NewTicker(5 * time.Millisecond); err != nil && time.Now().Before(deadline); <-tick.C {
		err = f()
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// snapshot lists what a namespace holds.
func snapshot(t *testing.T, ns *netns.NS) string {
	t.Helper()
	var b strings.Builder
	if err := ns.Do(func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			b.WriteString("link " + l.Attrs().Name + "\n")
		}
		routes, err2 := netlink.RouteList(nil, netlink.FAMILY_ALL)
		for _, r := range routes {
			b.WriteString("route " + r.String() + "\n")
		}
		for _, s := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/all/send_redirects", "net/ipv4/conf/all/accept_redirects"} {
			raw, err := os.ReadFile("/proc/sys/" + s)
			if err != nil {
				return err
			}
			b.WriteString(s + " " + string(raw))
		}
		for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
			k, err := nft.Open(nft.Table{Family: f, Name: DefaultTable})
			if err != nil {
				return err
			}
			have, err := k.Read()
			if err := errors.Join(err, k.Close()); err != nil {
				return err
			}
			if have.Exists {
				b.WriteString("table " + f.String() + "\n")
			}
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAgentFromPodCIDRToReset(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(uplink); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, ns)
	src := nodeSource{fcache.NewFakeControllerSource()}
	src.Add(node("me", "", "192.168.7.1"))
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	o := Options{Informers: kit.NewInformers(src, log), NodeName: "me", ConfDir: filepath.Join(dir, "net.d"), StateDir: filepath.Join(dir, "state"),
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}, Log: log}
	leak(t, o.StateDir)
	foreign := foreigners(t, ns)
	before = snapshot(t, ns)
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	quick(n)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- o.Informers.Run(ctx) }()
	go func() { done <- ns.Do(func() error { return n.Run(ctx) }) }()
	select {
	case <-n.Ready():
		t.Fatal("ready without a podCIDR")
	default:
	}
	src.Modify(node("me", "10.77.3.0/24", "192.168.7.1"))
	src.Add(node("peer", "10.77.4.0/24", "192.168.7.2"))
	select {
	case <-n.Ready():
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	checkUp(t, ns, o)
	if err := ns.Do(breakIt); err != nil {
		t.Fatal(err)
	}
	checkUp(t, ns, o)
	src.Modify(node("me", "10.77.5.0/24", "192.168.7.1"))
	eventually(t, "another podCIDR", func() error { return hasAddr(ns, "10.77.5.1/24") })
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := ns.Do(func() error { return Reset(t.Context(), o) }); err != nil {
			t.Fatal(err)
		}
	}
	if after := snapshot(t, ns); after != before {
		t.Errorf("before:\n%s\nafter reset:\n%s", before, after)
	}
	foreign()
	if _, err := os.Stat(o.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Error("state directory is left")
	}
}

// uplink gives the namespace a link to the outside.
func uplink() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "up0", 1400
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "up1"}); err != nil {
		return err
	}
	link, err := netlink.LinkByName("up0")
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr("192.168.7.1/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, a); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// quick makes the agent look for leftovers many times a second.
func quick(n *Network) {
	n.left.sweeper.After, n.left.sweeper.Every = 60*time.Millisecond, 20*time.Millisecond
	n.left.idle, n.left.closer = 20*time.Millisecond, 20*time.Millisecond
}

// leak leaves an address of a pod that is gone.
func leak(t *testing.T, stateDir string) {
	t.Helper()
	pool, err := ipam.Open(cni.AddressDir(stateDir))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Allocate(netip.MustParsePrefix("10.77.3.0/24"), ipam.Owner{Container: "old", Interface: "eth0"}); err != nil {
		t.Fatal(err)
	}
}

// foreigners are what another cluster on the same host has: a link and a route that look
// like ours. The function returned checks that they were let alone.
func foreigners(t *testing.T, ns *netns.NS) func() {
	t.Helper()
	const link = bridge.PortPrefix + "ffffffffffff"
	_, dst, err := net.ParseCIDR("10.200.0.0/24")
	if err != nil {
		t.Fatal(err)
	}
	in(t, ns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = link
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "theirs"}); err != nil {
			return err
		}
		up, err := netlink.LinkByName("up0")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: dst, Scope: netlink.SCOPE_LINK, LinkIndex: up.Attrs().Index, Protocol: routeOrigin})
	})
	return func() {
		t.Helper()
		in(t, ns, func() error {
			l, err := netlink.LinkByName(link)
			if err == nil && l.Attrs().MasterIndex != 0 {
				err = errors.New("another cluster's link was joined to our bridge")
			}
			return err
		})
	}
}

func hasAddr(ns *netns.NS, want string) error {
	return ns.Do(func() error {
		br, err := netlink.LinkByName(DefaultBridge)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(br, netlink.FAMILY_V4)
		if err == nil && (len(addrs) != 1 || addrs[0].IPNet.String() != want) {
			err = errors.New("other addresses")
		}
		return err
	})
}

func checkUp(t *testing.T, ns *netns.NS, o Options) {
	t.Helper()
	eventually(t, "bridge", func() error { return hasAddr(ns, "10.77.3.1/24") })
	eventually(t, "table and route", func() error {
		s := snapshot(t, ns)
		if !strings.Contains(s, "table ip\n") || !strings.Contains(s, "10.77.4.0/24") || !strings.Contains(s, "ip_forward 1") {
			return errors.New(s)
		}
		return nil
	})
	eventually(t, "leaked address", func() error {
		entries, err := os.ReadDir(filepath.Join(cni.AddressDir(o.StateDir), "ips"))
		if err == nil && len(entries) != 0 {
			err = errors.New("not freed")
		}
		return err
	})
	eventually(t, "configuration", func() error {
		raw, err := os.ReadFile(filepath.Join(o.ConfDir, ConfName))
		if err == nil && !strings.Contains(string(raw), `"10.77.3.0/24"`) {
			err = errors.New(string(raw))
		}
		return err
	})
}

// breakIt removes the bridge, the table and the route.
func breakIt() error {
	k, err := nft.Open(nft.Table{Family: nft.IPv4, Name: DefaultTable})
	if err != nil {
		return err
	}
	if err := errors.Join(k.Delete(), k.Close()); err != nil {
		return err
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeOrigin}, netlink.RT_FILTER_PROTOCOL)
	for i := range routes {
		if routes[i].Dst.String() == "10.77.4.0/24" {
			err = errors.Join(err, netlink.RouteDel(&routes[i]))
		}
	}
	if err != nil {
		return err
	}
	br, err := netlink.LinkByName(DefaultBridge)
	if err != nil {
		return err
	}
	return netlink.LinkDel(br)
}
