package proxy

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/kit"
)

// staleFlows finds UDP flows that connection tracking would go on sending to an
// endpoint that is gone, or to a service address as it was before it had endpoints.
// TCP needs none of this: its connections end by themselves.
type staleFlows struct {
	conn  *netlink.Handle
	known map[kit.Key][]Port // UDP ports only
	gone  []staleFlow
}

// staleFlow matches flows to a front (an address and port, or a node port) that went
// to an endpoint; with no endpoint, flows that were not translated.
type staleFlow struct {
	ip   netip.Addr // invalid: any
	port uint16
	to   netip.AddrPort
}

func newStaleFlows() (*staleFlows, error) {
	conn, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening connection tracking: %w", err)
	}
	return &staleFlows{conn: conn, known: map[kit.Key][]Port{}}, nil
}

// update compares a service with what it was.
func (s *staleFlows) update(k kit.Key, now []Port) {
	var udp []Port
	for _, p := range now {
		if p.Proto == unix.IPPROTO_UDP {
			udp = append(udp, p)
		}
	}
	before := s.known[k]
	if len(udp) == 0 {
		delete(s.known, k)
	} else {
		s.known[k] = udp
	}
	s.gone = append(s.gone, compareUDP(before, udp)...)
}

type front struct {
	ip   netip.Addr
	port uint16
}

func fronts(p *Port) []front {
	var out []front
	for _, ips := range [][]netip.Addr{p.ClusterIPs, p.ExternalIPs, p.BalancerIPs} {
		for _, ip := range ips {
			out = append(out, front{ip, p.Port})
		}
	}
	if p.NodePort != 0 {
		out = append(out, front{port: p.NodePort})
	}
	return out
}

// targets maps each front to its endpoints. Pure.
func targets(ports []Port) map[front]map[netip.AddrPort]bool {
	out := map[front]map[netip.AddrPort]bool{}
	for i := range ports {
		p := &ports[i]
		set := map[netip.AddrPort]bool{}
		for _, list := range [][]netip.AddrPort{p.All, p.Local} {
			for _, e := range list {
				set[e] = true
			}
		}
		for _, f := range fronts(p) {
			out[f] = set
		}
	}
	return out
}

func compareUDP(before, now []Port) []staleFlow {
	was, is := targets(before), targets(now)
	var out []staleFlow
	for f, endpoints := range was {
		for e := range endpoints {
			if !is[f][e] {
				out = append(out, staleFlow{f.ip, f.port, e})
			}
		}
	}
	for f, endpoints := range is {
		if len(endpoints) > 0 && len(was[f]) == 0 {
			out = append(out, staleFlow{ip: f.ip, port: f.port})
		}
	}
	return out
}

// clean deletes the stale flows found since the last clean that succeeded.
func (s *staleFlows) clean(_ context.Context) error {
	if len(s.gone) == 0 {
		return nil
	}
	filter := newFlowFilter(s.gone)
	for family, wanted := range map[netlink.InetFamily]bool{unix.AF_INET: filter.v4, unix.AF_INET6: filter.v6} {
		if !wanted {
			continue
		}
		if _, err := dump.Whole(func() (uint, error) {
			return s.conn.ConntrackDeleteFilters(netlink.ConntrackTable, family, filter)
		}); err != nil {
			return fmt.Errorf("deleting stale UDP flows: %w", err)
		}
	}
	s.gone = nil
	return nil
}

// flowFilter matches flows in connection tracking.
type flowFilter struct {
	v4, v6 bool
	byPort map[uint16][]staleFlow
}

func newFlowFilter(flows []staleFlow) *flowFilter {
	f := &flowFilter{byPort: map[uint16][]staleFlow{}}
	for _, s := range flows {
		f.byPort[s.port] = append(f.byPort[s.port], s)
		any := !s.ip.IsValid() && !s.to.IsValid()
		f.v4 = f.v4 || any || s.ip.Is4() || s.to.Addr().Is4()
		f.v6 = f.v6 || any || s.ip.Is6() || s.to.Addr().Is6()
	}
	return f
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f *flowFilter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	dst, _ := netip.AddrFromSlice(flow.Forward.DstIP)
	src, _ := netip.AddrFromSlice(flow.Reverse.SrcIP)
	dst, src = dst.Unmap(), src.Unmap()
	for _, s := range f.byPort[flow.Forward.DstPort] {
		if s.ip.IsValid() && s.ip != dst {
			continue
		}
		switch {
		case s.to.IsValid():
			if s.to == netip.AddrPortFrom(src, flow.Reverse.SrcPort) {
				return true
			}
		case src == dst: // was not translated
			return true
		}
	}
	return false
}

var _ netlink.CustomConntrackFilter = (*flowFilter)(nil)
