package proxy

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"hyperkube/internal/bounds"
	"hyperkube/internal/nft"
	"hyperkube/kit"
)

// Whoever may make a Service chooses its external addresses. Those of nodes are a common and
// good choice, as packets for them arrive at a node. But what nodes themselves say to each
// other's kubelets and to the API server must not go to somebody's pods: on no node does a
// service take over
//
//	any node's address, or this host's    on ports that the host itself listens on
//	an API server's address               on its port
//
// What is reserved of other nodes is what this node reserves, and the ports by which kubelet
// and proxy are known: a node that lies about its addresses keeps no more than those from
// being served. All other ports of nodes are served, as published; the admission plugin
// DenyServiceExternalIPs is for clusters that want none of it.
var nodePortsKnown = []HostPort{{corev1.ProtocolTCP, 10250}, {corev1.ProtocolTCP, 10256}}

// apiService is the service whose endpoints are the API servers.
var apiService = kit.Key{Namespace: "default", Name: "kubernetes"}

// NodeRules is what the addresses of nodes and API servers add to the table. It is pure.
func NodeRules(f nft.Family, c Config, nodes []*corev1.Node, api []*discoveryv1.EndpointSlice) *nft.Fragment {
	type key struct {
		addr  netip.Addr
		proto uint8
		port  uint16
	}
	all := map[key]bool{}
	ports := slices.Concat(c.Reserved, nodePortsKnown)
	for _, n := range nodes {
		for _, addr := range addrs(f, addressesOf(n)) {
			for _, p := range ports {
				if proto, ok := protocolNumber(p.Protocol); ok && p.Port != 0 {
					all[key{addr, proto, p.Port}] = true
				}
			}
		}
	}
	for _, s := range api {
		for _, e := range s.Endpoints {
			for _, addr := range addrs(f, e.Addresses) {
				for _, p := range s.Ports {
					if p.Port == nil || portNumber(*p.Port) == 0 || len(all) >= bounds.ServiceFronts {
						continue
					}
					all[key{addr, unix.IPPROTO_TCP, portNumber(*p.Port)}] = true
				}
			}
		}
	}
	out := &nft.Fragment{}
	for k := range all {
		out.Elements = append(out.Elements, nft.Element{Set: setNodes, Key: nft.Key(k.addr, k.proto, k.port)})
	}
	slices.SortFunc(out.Elements, func(a, b nft.Element) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// addressesOf are a node's IP addresses as it tells them, so many at most.
func addressesOf(n *corev1.Node) []string {
	var out []string
	for _, a := range n.Status.Addresses {
		if (a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP) && len(out) < bounds.NodeAddresses {
			out = append(out, a.Address)
		}
	}
	return out
}

// watchNodes has everything decided anew that depends on a node when that changes.
func (p *Proxy) watchNodes() {
	zone := func(n *corev1.Node) string {
		if n.Name != p.o.NodeName {
			return ""
		}
		return n.Labels[corev1.LabelTopologyZone]
	}
	p.nodes.OnChange(kit.Handler[*corev1.Node]{
		Update: func(old, n *corev1.Node) {
			if zone(old) != zone(n) {
				p.changeAll()
			}
			if !slices.Equal(addressesOf(old), addressesOf(n)) {
				p.changes.nodesChanged()
			}
		},
		Add: func(n *corev1.Node, _ bool) {
			if zone(n) != "" {
				p.changeAll()
			}
			p.changes.nodesChanged()
		},
		Delete: func(*corev1.Node) { p.changes.nodesChanged() },
	})
}

// reserveNodes brings what is reserved of nodes and API servers up to date.
func (p *Proxy) reserveNodes() {
	nodes, api := p.nodes.List(), p.slices.ByIndex(bySliceOwner, apiService.String())
	for _, t := range p.tables {
		t.want.Put(nodesOwner, NodeRules(t.family, t.config, nodes, api))
	}
}
