package cni

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/network/rules"
)

// TestStaleFlows: which flows end when a pod with host ports comes, and when it goes.
func TestStaleFlows(t *testing.T) {
	pod, other := "10.244.0.7", "10.244.0.8"
	ports := map[uint16][]rules.PortMapping{
		53:   {{HostPort: 53, ContainerPort: 5353, Protocol: "UDP"}},
		5140: {{HostPort: 5140, ContainerPort: 514, Protocol: "UDP", HostIP: "192.0.2.10"}},
	}
	addr := func(s ...string) map[netip.Addr]bool {
		out := map[netip.Addr]bool{}
		for _, a := range s {
			out[netip.MustParseAddr(a)] = true
		}
		return out
	}
	for name, tc := range map[string]struct {
		proto       uint8
		dst         string
		dport       uint16
		to          string
		toPort      uint16
		comes, goes bool
	}{
		"to the pod":                     {17, "192.0.2.10", 53, pod, 5353, false, true},
		"to the pod's former self":       {17, "192.0.2.10", 53, pod, 53, true, false},
		"to another pod":                 {17, "192.0.2.10", 53, other, 5353, true, false},
		"to the host":                    {17, "192.0.2.10", 53, "192.0.2.10", 53, true, false},
		"to the host's loopback":         {17, "127.0.0.53", 53, "127.0.0.53", 53, true, false},
		"to somebody outside":            {17, "8.8.8.8", 53, "8.8.8.8", 53, false, false},
		"TCP":                            {6, "192.0.2.10", 53, other, 5353, false, false},
		"another port":                   {17, "192.0.2.10", 54, other, 5353, false, false},
		"one address":                    {17, "192.0.2.10", 5140, other, 514, true, false},
		"another address":                {17, "10.244.0.1", 5140, other, 514, false, false},
		"to the pod itself, not by host": {17, pod, 53, pod, 5353, false, false},
	} {
		flow := &netlink.ConntrackFlow{
			Forward: netlink.IPTuple{Protocol: tc.proto, DstIP: net.ParseIP(tc.dst), DstPort: tc.dport},
			Reverse: netlink.IPTuple{Protocol: tc.proto, SrcIP: net.ParseIP(tc.to), SrcPort: tc.toPort}}
		if tc.proto != unix.IPPROTO_UDP && tc.proto != unix.IPPROTO_TCP {
			t.Fatal(name)
		}
		comes := &flows{ports: ports, pod: addr(pod), host: addr("192.0.2.10", "10.244.0.1")}
		if got := comes.MatchConntrackFlow(flow); got != tc.comes {
			t.Errorf("%s: ends when the pod comes: %v", name, got)
		}
		goes := &flows{ports: ports, pod: addr(pod)}
		if got := goes.MatchConntrackFlow(flow); got != tc.goes {
			t.Errorf("%s: ends when the pod goes: %v", name, got)
		}
	}
}
