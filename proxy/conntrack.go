package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
	"hyperkube/internal/dump"
	"hyperkube/kit"
)

// staleFlows finds UDP flows that connection tracking would go on sending to an
// endpoint that is gone, or to a service address as it was before it had endpoints.
// TCP needs none of this: its connections end by themselves. What went while no proxy
// ran nobody saw: the first clean compares all flows with the services.
type staleFlows struct {
	conn     *netlink.Handle
	remove   func(netlink.InetFamily, netlink.CustomConntrackFilter) error
	known    map[kit.Key][]Port // UDP ports only
	gone     []staleFlow
	compared bool
}

// staleFlow matches flows to a front (an address and port, or a node port) that went to
// one of several endpoints; without any, flows that were not translated.
type staleFlow struct {
	ip   netip.Addr // invalid: any
	port uint16
	to   endpointSet // shared by the fronts of one port
}

type endpointSet map[netip.AddrPort]bool

func newStaleFlows() (*staleFlows, error) {
	conn, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening connection tracking: %w", err)
	}
	remove := func(family netlink.InetFamily, filter netlink.CustomConntrackFilter) error {
		_, err := dump.Whole(func() (uint, error) { return conn.ConntrackDeleteFilters(netlink.ConntrackTable, family, filter) })
		return err
	}
	return &staleFlows{conn: conn, remove: remove, known: map[kit.Key][]Port{}}, nil
}

// left reports whether there are flows that could not be deleted yet.
func (s *staleFlows) left() bool { return len(s.gone) > 0 || !s.compared }

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
	if over := len(s.gone) - bounds.StaleFlows; over > 0 { // deleting fails for long
		s.gone = slices.Delete(s.gone, 0, over)
	}
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

// targets maps each front to the endpoints of its port. Pure.
func targets(ports []Port) map[front]endpointSet {
	out := map[front]endpointSet{}
	for i := range ports {
		p := &ports[i]
		set := make(endpointSet, len(p.All))
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

// compareUDP finds the flows that are stale. What two sets of endpoints differ in is found
// once for all fronts that have them. Pure.
func compareUDP(before, now []Port) []staleFlow {
	was, is := targets(before), targets(now)
	differences := map[[2]uintptr]endpointSet{}
	var out []staleFlow
	for f, old := range was {
		pair := [2]uintptr{reflect.ValueOf(old).Pointer(), reflect.ValueOf(is[f]).Pointer()}
		gone, known := differences[pair]
		if !known {
			gone = endpointSet{}
			for e := range old {
				if !is[f][e] {
					gone[e] = true
				}
			}
			differences[pair] = gone
		}
		if len(gone) > 0 {
			out = append(out, staleFlow{f.ip, f.port, gone})
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
	if !s.left() {
		return nil
	}
	filter := newFlowFilter(s.gone)
	if !s.compared {
		filter.compare(s.known)
	}
	for family, wanted := range map[netlink.InetFamily]bool{unix.AF_INET: filter.v4, unix.AF_INET6: filter.v6} {
		if !wanted {
			continue
		}
		if err := s.remove(family, filter); err != nil {
			return fmt.Errorf("deleting stale UDP flows: %w", err)
		}
	}
	s.gone, s.compared = nil, true
	return nil
}

// flowFilter matches flows in connection tracking.
type flowFilter struct {
	v4, v6 bool
	byPort map[uint16][]staleFlow
	is     map[front]endpointSet // nil: flows are not compared with the services
}

// compare has the filter match, besides, flows to services that do not go to one of their
// endpoints. A service that has none keeps its flows.
func (f *flowFilter) compare(services map[kit.Key][]Port) {
	f.is = map[front]endpointSet{}
	for _, ports := range services {
		for at, set := range targets(ports) {
			if len(set) == 0 {
				continue
			}
			f.is[at] = set
			for e := range set {
				f.v4, f.v6 = f.v4 || e.Addr().Is4(), f.v6 || e.Addr().Is6()
			}
		}
	}
}

// strays reports whether a flow to a service goes to none of its endpoints. Of those to a
// node port only those that were translated count: the number alone may be anybody's.
func (f *flowFilter) strays(dst, to netip.AddrPort) bool {
	set, ok := f.is[front{dst.Addr(), dst.Port()}]
	if !ok && dst.Addr() != to.Addr() {
		set, ok = f.is[front{port: dst.Port()}]
	}
	return ok && !set[to]
}

func newFlowFilter(flows []staleFlow) *flowFilter {
	f := &flowFilter{byPort: map[uint16][]staleFlow{}}
	for _, s := range flows {
		f.byPort[s.port] = append(f.byPort[s.port], s)
		if s.ip.IsValid() {
			f.v4, f.v6 = f.v4 || s.ip.Is4(), f.v6 || s.ip.Is6()
			continue
		}
		f.v4, f.v6 = f.v4 || len(s.to) == 0, f.v6 || len(s.to) == 0
		for e := range s.to {
			f.v4, f.v6 = f.v4 || e.Addr().Is4(), f.v6 || e.Addr().Is6()
		}
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
		if len(s.to) > 0 {
			if s.to[netip.AddrPortFrom(src, flow.Reverse.SrcPort)] {
				return true
			}
		} else if src == dst { // was not translated
			return true
		}
	}
	return f.strays(netip.AddrPortFrom(dst, flow.Forward.DstPort), netip.AddrPortFrom(src, flow.Reverse.SrcPort))
}

var _ netlink.CustomConntrackFilter = (*flowFilter)(nil)
