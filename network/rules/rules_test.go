package rules

import (
	"net/netip"
	"testing"

	"github.com/cockroachdb/datadriven"

	"hyperkube/internal/nft"
)

// TestRules prints the node's table with one pod's host ports.
func TestRules(t *testing.T) {
	datadriven.RunTest(t, "testdata/rules", func(t *testing.T, d *datadriven.TestData) string {
		f, pod := nft.IPv4, netip.MustParseAddr("10.244.3.7")
		if d.Cmd == "ip6" {
			f, pod = nft.IPv6, netip.MustParseAddr("fd00:3::7")
		}
		c := Config{Bridge: "cbr0",
			PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.244.3.0/24"), netip.MustParsePrefix("fd00:3::/64")},
			NoMasquerade: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00::/16")}}
		want := nft.NewDesired(nft.Table{Family: f, Name: "hyperkube"})
		base := Base(f, c)
		base.Elements = HostPorts(f, pod, []PortMapping{
			{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"},
			{HostIP: "192.0.2.1", HostPort: 53, ContainerPort: 5353, Protocol: "UDP"},
			{HostIP: "2001:db8::1", HostPort: 53, ContainerPort: 5353, Protocol: "UDP"},
			{HostIP: "0.0.0.0", HostPort: 99, ContainerPort: 99, Protocol: "SCTP"},
			{HostPort: 0, ContainerPort: 1}, {HostPort: 1, ContainerPort: 1, Protocol: "icmp"},
		})
		want.Put("base", base)
		return want.Text()
	})
}
