// Package rules says what the node's network keeps in nftables: source translation
// for what pods send out of the cluster, and host ports of pods. It is pure.
//
//	prerouting, output  host port → pod address and port (two maps), except ports that the
//	                    host itself listens on; of packets to the host's own addresses only,
//	                    whatever hostIP a pod asks for, and after the services' rules
//	postrouting         hairpin of host ports; masquerade of pods' traffic that leaves
//	prerouting filter   nobody else reaches 127.0.0.0/8, which host ports open
package rules

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"hyperkube/internal/lenient"
	"hyperkube/internal/nft"
)

// Config is what the rules depend on.
type Config struct {
	Bridge   string
	PodCIDRs []netip.Prefix // of this node
	// NoMasquerade are destinations that see pods' own addresses: the cluster's pods.
	NoMasquerade []netip.Prefix
	// Reserved are the ports of the host's own listeners: no host port may take them over.
	Reserved []HostPort
}

// HostPort is a port of the host.
type HostPort struct {
	Protocol string `json:"protocol"` // TCP, UDP or SCTP; empty: TCP
	Port     uint16 `json:"port"`
}

// PortMapping is one host port.
type PortMapping struct {
	HostIP        string `json:"hostIP,omitempty"`
	HostPort      uint16 `json:"hostPort"`
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// The maps that host ports are in.
const (
	anyAddress = "hostports"
	oneAddress = "hostports-by-address"
	hairpins   = "hairpin"
	reserved   = "reserved-ports"
)

// afterServices is a priority behind that of the services' rules (-100), which therefore have
// the first word: a pod does not take over a node port by the same host port.
const afterServices = -95

func sets() []nft.Set {
	return []nft.Set{
		{Name: anyAddress, Key: []nft.Type{nft.Proto, nft.Port}, Data: []nft.Type{nft.Addr, nft.Port}},
		{Name: oneAddress, Key: []nft.Type{nft.Addr, nft.Proto, nft.Port}, Data: []nft.Type{nft.Addr, nft.Port}},
		{Name: hairpins, Key: []nft.Type{nft.Addr, nft.Addr}},
		{Name: reserved, Key: []nft.Type{nft.Proto, nft.Port}},
	}
}

// Base is everything but the host ports themselves, for one family.
func Base(f nft.Family, c Config) *nft.Fragment {
	hostports := []nft.Rule{
		{nft.InSet(reserved, nft.L4Proto, nft.Dport), nft.ToHost(), nft.Return()},
		// Whoever makes pods chooses hostIP: it never stands for an address that is not the host's.
		{nft.ToHost(), nft.DNATByMap(oneAddress, nft.Daddr, nft.L4Proto, nft.Dport)},
		{nft.ToHost(), nft.DNATByMap(anyAddress, nft.L4Proto, nft.Dport)},
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	post := []nft.Rule{{nft.InSet(hairpins, nft.Saddr, nft.Daddr), nft.WasDNATed(), nft.Masquerade()}}
	fr := &nft.Fragment{Sets: sets()}
	for _, p := range c.Reserved {
		if proto, ok := protocols[p.Protocol]; ok && p.Port != 0 {
			fr.Elements = append(fr.Elements, nft.Element{Set: reserved, Key: nft.Key(proto, p.Port)})
		}
	}
	if f == nft.IPv4 {
		post = append(post, nft.Rule{nft.FromNet(loopback), nft.WasDNATed(), nft.NotToLink("lo"), nft.Masquerade()})
		fr.Chains = append(fr.Chains, nft.Chain{Name: "guard-loopback",
			Hook:  &nft.Hook{Type: "filter", Num: unix.NF_INET_PRE_ROUTING, Priority: -90},
			Rules: []nft.Rule{{nft.NotFromLink("lo"), nft.ToNet(loopback), nft.NotDNATed(), nft.DropPacket()}}})
	}
	var leave []nft.Rule
	for _, p := range inFamily(f, append(append([]netip.Prefix{}, c.NoMasquerade...), c.PodCIDRs...)) {
		leave = append(leave, nft.Rule{nft.ToNet(p), nft.Return()})
	}
	multicast := netip.MustParsePrefix("224.0.0.0/4")
	if f == nft.IPv6 {
		multicast = netip.MustParsePrefix("ff00::/8")
	}
	leave = append(leave, nft.Rule{nft.ToNet(multicast), nft.Return()}, nft.Rule{nft.Masquerade()})
	for _, p := range inFamily(f, c.PodCIDRs) {
		post = append(post, nft.Rule{nft.FromNet(p), nft.NotToLink(c.Bridge), nft.GoTo("leave-cluster")})
	}
	fr.Chains = append(fr.Chains,
		nft.Chain{Name: "hostports", Rules: hostports},
		nft.Chain{Name: "leave-cluster", Rules: leave},
		natChain("nat-prerouting", unix.NF_INET_PRE_ROUTING, afterServices, nft.Rule{nft.JumpTo("hostports")}),
		natChain("nat-output", unix.NF_INET_LOCAL_OUT, afterServices, nft.Rule{nft.JumpTo("hostports")}),
		natChain("nat-postrouting", unix.NF_INET_POST_ROUTING, 100, post...),
	)
	return fr
}

func natChain(name string, hook uint32, priority int32, rules ...nft.Rule) nft.Chain {
	return nft.Chain{Name: name, Hook: &nft.Hook{Type: "nat", Num: hook, Priority: priority}, Rules: rules}
}

func inFamily(f nft.Family, in []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	seen := map[netip.Prefix]bool{}
	for _, p := range in {
		if p.Addr().Is6() == (f == nft.IPv6) && !seen[p.Masked()] {
			seen[p.Masked()] = true
			out = append(out, p.Masked())
		}
	}
	return out
}

// Refused are those of a pod's host ports that are the host's own, at whichever of its
// addresses.
func Refused(ports []PortMapping, host []HostPort) []PortMapping {
	var out []PortMapping
	for _, p := range ports {
		if p.isReserved(host) {
			out = append(out, p)
		}
	}
	return out
}

func (p PortMapping) isReserved(host []HostPort) bool {
	proto, ok := protocols[p.Protocol]
	for _, h := range host {
		if its, known := protocols[h.Protocol]; ok && known && p.HostPort != 0 && p.HostPort == h.Port && proto == its {
			return true
		}
	}
	return false
}

// IsUDP reports whether a host port is one of UDP.
func IsUDP(p PortMapping) bool { return protocols[p.Protocol] == unix.IPPROTO_UDP }

// At reports whether a host port is served at an address of the host.
func (p PortMapping) At(host netip.Addr) bool {
	a, all, ok := p.address()
	return ok && (all || a == host)
}

// address is the host's address that a port is for, or all of them; !ok: one that cannot be read, at
// which nothing is served, as it may have been the one address that the port was meant for.
func (p PortMapping) address() (a netip.Addr, all, ok bool) {
	if p.HostIP == "" {
		return a, true, true
	}
	a, err := lenient.Addr(p.HostIP)
	return a, a.IsUnspecified(), err == nil
}

// HostPorts are the elements of a pod's host ports, without those that are the host's own.
// Of several that mean the same (no hostIP and an unspecified one) the first counts.
func HostPorts(f nft.Family, pod netip.Addr, ports []PortMapping, host []HostPort) []nft.Element {
	var out []nft.Element
	seen := map[string]bool{}
	put := func(set, key string, to nft.Value) {
		if !seen[set+key] {
			seen[set+key] = true
			out = append(out, nft.Element{Set: set, Key: key, Value: to})
		}
	}
	for _, p := range ports {
		proto, ok := protocols[p.Protocol]
		if !ok || p.HostPort == 0 || p.ContainerPort == 0 || p.isReserved(host) {
			continue
		}
		to := nft.Value{Data: nft.Key(netip.AddrPortFrom(pod, p.ContainerPort))}
		switch at, all, ok := p.address(); {
		case !ok:
		case all:
			put(anyAddress, nft.Key(proto, p.HostPort), to)
		case at.Is6() == (f == nft.IPv6):
			put(oneAddress, nft.Key(at, proto, p.HostPort), to)
		}
	}
	if len(out) > 0 {
		out = append(out, nft.Element{Set: hairpins, Key: nft.Key(pod, pod)})
	}
	return out
}

// SetOf returns the description of a set that HostPorts uses.
func SetOf(name string) *nft.Set {
	for _, s := range sets() {
		if s.Name == name {
			return &s
		}
	}
	return nil
}

var protocols = map[string]uint8{
	"tcp": unix.IPPROTO_TCP, "TCP": unix.IPPROTO_TCP, "": unix.IPPROTO_TCP,
	"udp": unix.IPPROTO_UDP, "UDP": unix.IPPROTO_UDP,
	"sctp": unix.IPPROTO_SCTP, "SCTP": unix.IPPROTO_SCTP,
}
