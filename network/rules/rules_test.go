package rules

import (
	"net"
	"net/netip"
	"testing"

	"github.com/cockroachdb/datadriven"

	"hyperkube/internal/nft"
)

// TestRules prints the node's table with one pod's host ports.
func TestRules(t *testing.T) {
	datadriven.RunTest(t, "testdata/rules", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "guard" {
			return guardText()
		}
		f, pod := nft.IPv4, netip.MustParseAddr("10.244.3.7")
		if d.Cmd == "ip6" {
			f, pod = nft.IPv6, netip.MustParseAddr("fd00:3::7")
		}
		c := Config{Bridge: "cbr0",
			PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.244.3.0/24"), netip.MustParsePrefix("fd00:3::/64")},
			NoMasquerade: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00::/16")},
			Reserved:     []HostPort{{"TCP", 6443}, {"tcp", 10250}, {"icmp", 1}, {"TCP", 0}}}
		want := nft.NewDesired(nft.Table{Family: f, Name: "hyperkube"})
		base := Base(f, c)
		base.Elements = append(base.Elements, HostPorts(f, pod, []PortMapping{
			{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"},
			{HostIP: "192.0.2.1", HostPort: 53, ContainerPort: 5353, Protocol: "UDP"},
			{HostIP: "2001:db8::1", HostPort: 53, ContainerPort: 5353, Protocol: "UDP"},
			{HostIP: "0.0.0.0", HostPort: 99, ContainerPort: 99, Protocol: "SCTP"},
			{HostPort: 0, ContainerPort: 1}, {HostPort: 1, ContainerPort: 1, Protocol: "icmp"},
			{HostPort: 6443, ContainerPort: 80, Protocol: "TCP"}, {HostIP: "192.0.2.1", HostPort: 6443, ContainerPort: 80},
			{HostIP: "::", HostPort: 8080, ContainerPort: 81, Protocol: "TCP"}, // the same again
			{HostPort: 6443, ContainerPort: 80, Protocol: "UDP"},               // another protocol is another port
		}, c.Reserved)...)
		want.Put("base", base)
		return want.Text()
	})
}

// guardText prints the guards of a pod with one address and of one with two.
func guardText() string {
	want := nft.NewDesired(nft.Table{Family: nft.Netdev, Name: "hyperkube"})
	a4, a6 := netip.MustParseAddr("10.244.3.7"), netip.MustParseAddr("fd00:3::7")
	mac := net.HardwareAddr{0x0a, 0x58, 0x0a, 0xf4, 0x03, 0x07}
	want.Put("one", &nft.Fragment{Chains: []nft.Chain{Guard("hkv1", mac, []netip.Addr{a4})}})
	want.Put("two", &nft.Fragment{Chains: []nft.Chain{Guard("hkv2", mac, []netip.Addr{a4, a6})}})
	return want.Text()
}

func TestRefused(t *testing.T) {
	host := []HostPort{{"TCP", 6443}, {"", 2379}, {"UDP", 53}}
	for _, tc := range []struct {
		p    PortMapping
		want bool
	}{
		{PortMapping{HostPort: 6443, Protocol: "TCP"}, true},
		{PortMapping{HostPort: 6443, Protocol: "tcp"}, true},
		{PortMapping{HostPort: 6443}, true},
		{PortMapping{HostPort: 6443, Protocol: "UDP"}, false},
		{PortMapping{HostPort: 6443, HostIP: "127.0.0.1"}, true},
		{PortMapping{HostPort: 6443, HostIP: "not an address"}, true},
		{PortMapping{HostPort: 2379, Protocol: "TCP"}, true},
		{PortMapping{HostPort: 53, Protocol: "udp"}, true},
		{PortMapping{HostPort: 53, Protocol: "TCP"}, false},
		{PortMapping{HostPort: 6444, Protocol: "TCP"}, false},
		{PortMapping{HostPort: 0, ContainerPort: 6443}, false},
	} {
		if got := len(Refused([]PortMapping{tc.p}, host)) == 1; got != tc.want {
			t.Errorf("%+v: refused %v, want %v", tc.p, got, tc.want)
		}
	}
}
