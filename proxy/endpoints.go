package proxy

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"hyperkube/internal/nft"
)

// endpoint is one address that may serve a port.
type endpoint struct {
	addr  netip.Addr
	port  uint16
	hints *discoveryv1.EndpointHints
}

// parsedSlice is what of an EndpointSlice can be used, parsed once for all ports.
type parsedSlice struct {
	ready, leaving           []endpoint
	localReady, localLeaving []endpoint
}

// sliceIndex finds the slices that serve a port, and the number that it has there, without
// looking at all of them for each port.
type sliceIndex struct {
	byPort map[portKey][]sliceAt
}

type portKey struct {
	name  string
	proto corev1.Protocol
}

type sliceAt struct {
	slice *parsedSlice
	port  uint16
}

func newSliceIndex(f nft.Family, slicesOf []*discoveryv1.EndpointSlice, here Here) *sliceIndex {
	family := discoveryv1.AddressTypeIPv4
	if f == nft.IPv6 {
		family = discoveryv1.AddressTypeIPv6
	}
	x := &sliceIndex{byPort: map[portKey][]sliceAt{}}
	for _, s := range slicesOf {
		if s.AddressType != family {
			continue
		}
		p := parseSlice(f, s, here)
		if len(p.ready)+len(p.leaving) == 0 {
			continue
		}
		seen := map[portKey]bool{}
		for i := range s.Ports {
			k, number := keyOfPort(&s.Ports[i])
			if number == 0 || seen[k] { // the first of a name counts
				continue
			}
			seen[k] = true
			x.byPort[k] = append(x.byPort[k], sliceAt{p, number})
		}
	}
	return x
}

// keyOfPort is what a slice's port is found by, and its number; 0 if it has none.
func keyOfPort(p *discoveryv1.EndpointPort) (portKey, uint16) {
	k := portKey{proto: corev1.ProtocolTCP}
	if p.Name != nil {
		k.name = *p.Name
	}
	if p.Protocol != nil {
		k.proto = *p.Protocol
	}
	if p.Port == nil {
		return k, 0
	}
	return k, portNumber(*p.Port)
}

func parseSlice(f nft.Family, s *discoveryv1.EndpointSlice, here Here) *parsedSlice {
	p := &parsedSlice{}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		isReady := e.Conditions.Ready == nil || *e.Conditions.Ready
		serves := e.Conditions.Serving != nil && *e.Conditions.Serving && e.Conditions.Terminating != nil && *e.Conditions.Terminating
		if len(e.Addresses) == 0 || !isReady && !serves {
			continue
		}
		a, err := netip.ParseAddr(e.Addresses[0]) // more than one means nothing
		if err != nil || !usable(f, a) {
			continue
		}
		ep, local := endpoint{addr: a, hints: e.Hints}, e.NodeName != nil && *e.NodeName == here.Node
		all, near := &p.ready, &p.localReady
		if !isReady {
			all, near = &p.leaving, &p.localLeaving
		}
		if *all = append(*all, ep); local {
			*near = append(*near, ep)
		}
	}
	return p
}

// endpoints picks who serves a port: those that are ready or, if none is, those that are
// terminating but still serve. The choice is made for the cluster and for the node apart.
// Of more than limit the node takes some; left is how many it did not.
func (x *sliceIndex) endpoints(sp *corev1.ServicePort, limit int, here Here) (s served) {
	at := x.byPort[portKey{sp.Name, cmp.Or(sp.Protocol, corev1.ProtocolTCP)}]
	everyone, left := pick(at, limit, here, func(p *parsedSlice) []endpoint { return p.ready }, func(p *parsedSlice) []endpoint { return p.leaving })
	mine, leftHere := pick(at, limit, here, func(p *parsedSlice) []endpoint { return p.localReady })
	s.ready = len(sorted(mine))
	if s.ready == 0 {
		mine, leftHere = pick(at, limit, here, func(p *parsedSlice) []endpoint { return p.localLeaving })
	}
	s.all, s.local, s.left = sorted(nearest(everyone, here)), sorted(mine), left+leftHere
	return s
}

// served is who serves a port.
type served struct {
	all, local []netip.AddrPort
	ready      int // how many of the node's own do so and are not about to end
	left       int
}

// pick gathers the endpoints of the first of several kinds that has any. It looks at as
// many as it may return, not at all there are.
func pick(at []sliceAt, limit int, here Here, kinds ...func(*parsedSlice) []endpoint) (out []endpoint, left int) {
	for _, of := range kinds {
		total := 0
		for _, s := range at {
			total += len(of(s.slice))
		}
		if total == 0 {
			continue
		}
		out = make([]endpoint, 0, min(total, limit))
		skip := 0
		if total > limit { // not the same ones on every node
			skip = here.share(total)
		}
		for pass := 0; pass < 2 && len(out) < limit; pass++ {
			for _, s := range at {
				list := of(s.slice)
				if skip >= len(list) {
					skip -= len(list)
					continue
				}
				take := min(len(list)-skip, limit-len(out))
				for _, e := range list[skip : skip+take] {
					e.port = s.port
					out = append(out, e)
				}
				if skip = 0; len(out) == limit {
					break
				}
			}
			if len(out) == total {
				break
			}
		}
		return out, max(0, total-limit)
	}
	return nil, 0
}

// share is a number below total that differs from node to node.
func (h Here) share(total int) int {
	x := fnv.New64a()
	_, _ = x.Write([]byte(h.Node))
	return int(x.Sum64() % uint64(total))
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
		out[i] = netip.AddrPortFrom(e.addr, e.port)
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}
