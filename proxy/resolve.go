package proxy

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"golang.org/x/sys/unix"

	"hyperkube/internal/nft"
)

// Labels of services and slices that concern a proxy.
const (
	labelProxyName = "service.kubernetes.io/service-proxy-name"
	defaultSticky  = 10800 * time.Second
)

// Here is what a proxy knows of its own node.
type Here struct {
	Node string
	Zone string
}

// Port is one port of a service with the endpoints that serve it, in one family.
type Port struct {
	Namespace, Service string
	Proto              uint8
	Port               uint16
	ClusterIPs         []netip.Addr
	NodePort           uint16
	ExternalIPs        []netip.Addr
	BalancerIPs        []netip.Addr
	SourceRanges       []netip.Prefix
	InternalLocal      bool          // ClusterIP traffic stays on the node
	ExternalLocal      bool          // traffic from outside stays on the node
	Sticky             time.Duration // 0: no affinity
	All                []netip.AddrPort
	Local              []netip.AddrPort
}

// Resolve returns the ports of a service in one family, or none if the proxy has
// nothing to do with it. It is pure.
func Resolve(f nft.Family, svc *corev1.Service, slicesOf []*discoveryv1.EndpointSlice, here Here) []Port {
	if svc == nil || svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Spec.ClusterIP == corev1.ClusterIPNone ||
		svc.Spec.ClusterIP == "" || svc.Labels[labelProxyName] != "" {
		return nil
	}
	spec := &svc.Spec
	base := Port{
		Namespace: svc.Namespace, Service: svc.Name,
		ClusterIPs:    addrs(f, append([]string{spec.ClusterIP}, spec.ClusterIPs...)),
		ExternalIPs:   addrs(f, spec.ExternalIPs),
		BalancerIPs:   balancerIPs(f, svc),
		SourceRanges:  prefixes(f, spec.LoadBalancerSourceRanges),
		InternalLocal: spec.InternalTrafficPolicy != nil && *spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		ExternalLocal: spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		Sticky:        stickiness(spec),
	}
	if len(base.ClusterIPs) == 0 {
		return nil // a service of the other family
	}
	var out []Port
	for i := range spec.Ports {
		sp := &spec.Ports[i]
		proto, ok := protocolNumber(sp.Protocol)
		if !ok {
			continue
		}
		p := base
		p.Proto, p.Port, p.NodePort = proto, uint16(sp.Port), uint16(sp.NodePort)
		p.All, p.Local = endpoints(f, sp, slicesOf, here)
		out = append(out, p)
	}
	return out
}

func stickiness(spec *corev1.ServiceSpec) time.Duration {
	if spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil && *c.ClientIP.TimeoutSeconds > 0 {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return defaultSticky
}

func protocolNumber(p corev1.Protocol) (uint8, bool) {
	switch p {
	case corev1.ProtocolTCP, "":
		return unix.IPPROTO_TCP, true
	case corev1.ProtocolUDP:
		return unix.IPPROTO_UDP, true
	case corev1.ProtocolSCTP:
		return unix.IPPROTO_SCTP, true
	}
	return 0, false
}

func inFamily(f nft.Family, a netip.Addr) bool { return a.Is6() == (f == nft.IPv6) }

func addrs(f nft.Family, in []string) []netip.Addr {
	var out []netip.Addr
	for _, s := range in {
		if a, err := netip.ParseAddr(s); err == nil && inFamily(f, a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func prefixes(f nft.Family, in []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range in {
		if p, err := netip.ParsePrefix(s); err == nil && inFamily(f, p.Addr()) {
			out = append(out, p.Masked())
		}
	}
	return out
}

func balancerIPs(f nft.Family, svc *corev1.Service) []netip.Addr {
	var ips []string
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IP != "" && (in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP) {
			ips = append(ips, in.IP)
		}
	}
	return addrs(f, ips)
}

// endpoint is one address that serves a port.
type endpoint struct {
	addr  netip.AddrPort
	local bool
	hints *discoveryv1.EndpointHints
}

// endpoints picks who serves a port: those that are ready or, if none is, those that
// are terminating but still serve. The choice is made for the cluster and for the
// node apart.
func endpoints(f nft.Family, sp *corev1.ServicePort, slicesOf []*discoveryv1.EndpointSlice, here Here) (all, local []netip.AddrPort) {
	ready, leaving := gather(f, sp, slicesOf, here)
	pick := func(keep func(endpoint) bool) []endpoint {
		for _, from := range [][]endpoint{ready, leaving} {
			if got := slices.DeleteFunc(slices.Clone(from), func(e endpoint) bool { return !keep(e) }); len(got) > 0 {
				return got
			}
		}
		return nil
	}
	everyone := pick(func(endpoint) bool { return true })
	return sorted(nearest(everyone, here)), sorted(pick(func(e endpoint) bool { return e.local }))
}

func gather(f nft.Family, sp *corev1.ServicePort, slicesOf []*discoveryv1.EndpointSlice, here Here) (ready, leaving []endpoint) {
	family := discoveryv1.AddressTypeIPv4
	if f == nft.IPv6 {
		family = discoveryv1.AddressTypeIPv6
	}
	for _, s := range slicesOf {
		port, ok := slicePort(s, sp)
		if s.AddressType != family || !ok {
			continue
		}
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			isReady := e.Conditions.Ready == nil || *e.Conditions.Ready
			serves := e.Conditions.Serving != nil && *e.Conditions.Serving && e.Conditions.Terminating != nil && *e.Conditions.Terminating
			if len(e.Addresses) == 0 || !isReady && !serves {
				continue
			}
			a, err := netip.ParseAddr(e.Addresses[0]) // more than one means nothing
			if err != nil || !inFamily(f, a) {
				continue
			}
			ep := endpoint{netip.AddrPortFrom(a, port), e.NodeName != nil && *e.NodeName == here.Node, e.Hints}
			if isReady {
				ready = append(ready, ep)
			} else {
				leaving = append(leaving, ep)
			}
		}
	}
	return ready, leaving
}

// slicePort finds the number that a service port has in a slice.
func slicePort(s *discoveryv1.EndpointSlice, sp *corev1.ServicePort) (uint16, bool) {
	for _, p := range s.Ports {
		name, proto := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			proto = *p.Protocol
		}
		if name == sp.Name && proto == cmp.Or(sp.Protocol, corev1.ProtocolTCP) && p.Port != nil {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

// nearest keeps the endpoints hinted for this node, else for its zone, if every
// endpoint has such hints.
func nearest(in []endpoint, here Here) []endpoint {
	forNode := hinted(in, func(h *discoveryv1.EndpointHints) (bool, bool) {
		return len(h.ForNodes) > 0, slices.ContainsFunc(h.ForNodes, func(n discoveryv1.ForNode) bool { return n.Name == here.Node })
	})
	if forNode != nil {
		return forNode
	}
	if here.Zone == "" {
		return in
	}
	forZone := hinted(in, func(h *discoveryv1.EndpointHints) (bool, bool) {
		return len(h.ForZones) > 0, slices.ContainsFunc(h.ForZones, func(z discoveryv1.ForZone) bool { return z.Name == here.Zone })
	})
	if forZone != nil {
		return forZone
	}
	return in
}

func hinted(in []endpoint, of func(*discoveryv1.EndpointHints) (has, us bool)) []endpoint {
	var out []endpoint
	for _, e := range in {
		if e.hints == nil {
			return nil
		}
		has, us := of(e.hints)
		if !has {
			return nil
		}
		if us {
			out = append(out, e)
		}
	}
	return out
}

func sorted(in []endpoint) []netip.AddrPort {
	out := make([]netip.AddrPort, len(in))
	for i, e := range in {
		out[i] = e.addr
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}
