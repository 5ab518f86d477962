package proxy

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
	"hyperkube/internal/lenient"
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
	Since              time.Time // when the service was made
	Proto              uint8
	Port               uint16
	ClusterIPs         []netip.Addr
	NodePort           uint16
	ExternalIPs        []netip.Addr
	BalancerIPs        []netip.Addr
	SourceRanges       []netip.Prefix // of this family
	Guarded            bool           // balancers' addresses are for SourceRanges only, if there is none for nobody
	InternalLocal      bool           // ClusterIP traffic stays on the node
	ExternalLocal      bool           // traffic from outside stays on the node
	Sticky             time.Duration  // 0: no affinity
	All                []netip.AddrPort
	Local              []netip.AddrPort
	LocalReady         int // of Local; without any, Local are terminating
	Cut                Cut
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
		Namespace: svc.Namespace, Service: svc.Name, Since: svc.CreationTimestamp.Time,
		ClusterIPs:    addrs(f, append([]string{spec.ClusterIP}, spec.ClusterIPs...)),
		ExternalIPs:   addrs(f, spec.ExternalIPs),
		BalancerIPs:   balancerIPs(f, svc),
		SourceRanges:  prefixes(f, spec.LoadBalancerSourceRanges),
		Guarded:       len(spec.LoadBalancerSourceRanges) > 0,
		InternalLocal: spec.InternalTrafficPolicy != nil && *spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		ExternalLocal: spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		Sticky:        stickiness(spec),
	}
	if len(base.ClusterIPs) == 0 {
		return nil // a service of the other family
	}
	base.ClusterIPs = base.ClusterIPs[:1] // there is one in a family
	ports := validPorts(spec.Ports)
	cut := base.bound(&ports)
	index := newSliceIndex(f, slicesOf, here)
	each := min(bounds.PortBackends, max(1, bounds.ServiceBackends/max(1, len(ports))))
	out := make([]Port, 0, len(ports))
	for i, sp := range ports {
		p := base
		p.Proto, _ = protocolNumber(sp.Protocol)
		p.Port, p.NodePort = uint16(sp.Port), portNumber(sp.NodePort)
		s := index.endpoints(sp, each, here)
		p.All, p.Local, p.LocalReady = s.all, s.local, s.ready
		if p.Cut.Backends = s.left; i == 0 {
			p.Cut.Fronts, p.Cut.Ranges = cut.Fronts, cut.Ranges
		}
		out = append(out, p)
	}
	return out
}

// Cut is how much of a service was left out because it is beyond the bounds.
type Cut struct{ Backends, Fronts, Ranges int }

// bound leaves out what is too much, ports last, and says how much that is.
func (p *Port) bound(ports *[]*corev1.ServicePort) (cut Cut) {
	keep := func(n *int, limit int) int {
		over := max(0, *n-max(0, limit))
		*n -= over
		return over
	}
	count := len(*ports)
	cut.Fronts += keep(&count, bounds.ServiceFronts/len(p.ClusterIPs))
	*ports = (*ports)[:count]
	count = max(1, count)
	spare := bounds.ServiceFronts/count - len(p.ClusterIPs)
	externals, balancers := len(p.ExternalIPs), len(p.BalancerIPs)
	cut.Fronts += count * keep(&externals, spare)
	cut.Fronts += count * keep(&balancers, spare-externals)
	p.ExternalIPs, p.BalancerIPs = p.ExternalIPs[:externals], p.BalancerIPs[:balancers]
	// With fewer ranges fewer sources are let in.
	ranges := len(p.SourceRanges)
	cut.Ranges = keep(&ranges, max(1, bounds.ServiceRanges/count))
	p.SourceRanges = p.SourceRanges[:ranges]
	return cut
}

// validPorts are those with a protocol and number that exist, each once.
func validPorts(in []corev1.ServicePort) []*corev1.ServicePort {
	type key struct {
		proto uint8
		port  int32
	}
	seen := map[key]bool{}
	var out []*corev1.ServicePort
	for i := range in {
		sp := &in[i]
		proto, ok := protocolNumber(sp.Protocol)
		if k := (key{proto, sp.Port}); ok && portNumber(sp.Port) != 0 && !seen[k] {
			seen[k] = true
			out = append(out, sp)
		}
	}
	return out
}

// portNumber is n, or 0 if it is no port.
func portNumber(n int32) uint16 {
	if n < 1 || n > 65535 {
		return 0
	}
	return uint16(n)
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

// usable says that an address can be that of a service or an endpoint in a family. The
// host's own loopback and what is valid on one link only are not.
func usable(f nft.Family, a netip.Addr) bool {
	return inFamily(f, a) && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

func addrs(f nft.Family, in []string) []netip.Addr {
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, s := range in {
		if a, err := lenient.Addr(s); err == nil && usable(f, a) && !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
}

func prefixes(f nft.Family, in []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range in {
		if p, err := lenient.Prefix(s); err == nil && inFamily(f, p.Addr()) {
			out = append(out, p)
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
