package cni

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/network/rules"
)

// Connection tracking goes on sending a UDP flow where it sent its first packet for as long
// as the client does not pause. So flows to a host port are forgotten when the pod that has
// it changes: those to the pod that goes, and those that began before the pod was there.

// flows matches UDP flows to a pod's host ports that its coming or going ends.
type flows struct {
	ports map[uint16][]rules.PortMapping
	pod   map[netip.Addr]bool
	host  map[netip.Addr]bool // nil: the pod goes
}

// forgetFlows deletes the flows that are stale once the pod's host ports are mapped (comes)
// or unmapped.
func forgetFlows(p *Ports, comes bool) error {
	f := &flows{ports: map[uint16][]rules.PortMapping{}, pod: map[netip.Addr]bool{}}
	for _, m := range p.Ports {
		if rules.IsUDP(m) && m.HostPort != 0 {
			f.ports[m.HostPort] = append(f.ports[m.HostPort], m)
		}
	}
	if len(f.ports) == 0 {
		return nil
	}
	if comes {
		var err error
		if f.host, err = hostAddrs(); err != nil {
			return err
		}
	}
	families := map[netlink.InetFamily]bool{}
	for _, a := range p.Addrs {
		f.pod[a] = true
		if a.Is6() {
			families[unix.AF_INET6] = true
		} else {
			families[unix.AF_INET] = true
		}
	}
	conn, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("opening connection tracking: %w", err)
	}
	defer conn.Close()
	for family := range families {
		if _, err := dump.Whole(func() (uint, error) { return conn.ConntrackDeleteFilters(netlink.ConntrackTable, family, f) }); err != nil {
			return fmt.Errorf("forgetting UDP flows to host ports: %w", err)
		}
	}
	return nil
}

func hostAddrs() (map[netip.Addr]bool, error) {
	list, err := dump.Addrs(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing the host's addresses: %w", err)
	}
	out := make(map[netip.Addr]bool, len(list))
	for i := range list {
		if a, ok := netip.AddrFromSlice(list[i].IP); ok {
			out[a.Unmap()] = true
		}
	}
	return out, nil
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f *flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	dst, _ := netip.AddrFromSlice(flow.Forward.DstIP)
	to, _ := netip.AddrFromSlice(flow.Reverse.SrcIP)
	dst, to = dst.Unmap(), to.Unmap()
	for _, m := range f.ports[flow.Forward.DstPort] {
		switch {
		case f.host == nil:
			if f.pod[to] && to != dst && flow.Reverse.SrcPort == m.ContainerPort {
				return true
			}
		case m.At(dst) && (f.host[dst] || dst.IsLoopback()):
			if !f.pod[to] || flow.Reverse.SrcPort != m.ContainerPort {
				return true
			}
		}
	}
	return false
}

var _ netlink.CustomConntrackFilter = (*flows)(nil)
