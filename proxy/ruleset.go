package proxy

import (
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
	"hyperkube/internal/nft"
)

// Names in the table.
const (
	mapServices  = "service-ips"       // ClusterIP . protocol . port → chain
	mapExternal  = "external-ips"      // external address . protocol . port → chain
	mapNodePorts = "service-nodeports" // protocol . port → chain
	mapFirewall  = "firewall-ips"      // address . protocol . port → chain
	setClusters  = "cluster-ips"
	setHairpins  = "hairpin" // address . address of the node's own endpoints
	setReserved  = "reserved-ports"
	setNodes     = "node-services" // address . protocol . port of nodes and API servers

	chainReject   = "reject"
	chainExternal = "external-addresses"
	chainOutside  = "only-from-inside"
	chainMark     = "mark-from-outside"
)

// MasqueradeMark is the bit of a packet's mark that asks for source translation.
const MasqueradeMark = 0x4000

// Config is what the ruleset depends on besides services.
type Config struct {
	// ClusterCIDRs are the pods' ranges. What comes from elsewhere to a ClusterIP is
	// masqueraded. Empty: nothing is known to be a pod.
	ClusterCIDRs []netip.Prefix
	// NodePortNets are the ranges of node addresses that NodePorts are served on.
	// Empty: all addresses of the node.
	NodePortNets []netip.Prefix
	// Reserved are ports that the host itself listens on: no service takes them over, be it
	// by a node port or by an external address that is one of the host's.
	Reserved []HostPort
}

// HostPort is a port of the host.
type HostPort struct {
	Protocol corev1.Protocol
	Port     uint16
}

func (c Config) reserved() []nft.Element {
	var out []nft.Element
	for _, p := range c.Reserved {
		if proto, ok := protocolNumber(p.Protocol); ok && p.Port != 0 {
			out = append(out, nft.Element{Set: setReserved, Key: nft.Key(proto, p.Port)})
		}
	}
	return out
}

// BaseRules is the part of the table that does not depend on services.
func BaseRules(f nft.Family, c Config) *nft.Fragment {
	inside := within(f, c.ClusterCIDRs)
	address := []nft.Type{nft.Addr, nft.Proto, nft.Port}
	verdicts := []nft.Type{nft.Verdicts}
	return &nft.Fragment{
		Sets: []nft.Set{
			{Name: mapServices, Key: address, Data: verdicts},
			{Name: mapExternal, Key: address, Data: verdicts},
			{Name: mapFirewall, Key: address, Data: verdicts},
			{Name: mapNodePorts, Key: []nft.Type{nft.Proto, nft.Port}, Data: verdicts},
			{Name: setClusters, Key: []nft.Type{nft.Addr}},
			{Name: setHairpins, Key: []nft.Type{nft.Addr, nft.Addr}},
			{Name: setReserved, Key: []nft.Type{nft.Proto, nft.Port}},
			{Name: setNodes, Key: address},
		},
		Elements: c.reserved(),
		Chains: append(append(guardLoopback(f), dropInvalid(inside)...), []nft.Chain{
			natHook("nat-prerouting", unix.NF_INET_PRE_ROUTING, -100, nft.Rule{nft.JumpTo("firewall")}, nft.Rule{nft.JumpTo("services")}),
			natHook("nat-output", unix.NF_INET_LOCAL_OUT, -100, nft.Rule{nft.JumpTo("services")}),
			natHook("nat-postrouting", unix.NF_INET_POST_ROUTING, 100,
				nft.Rule{nft.HasMark(MasqueradeMark), nft.ClearMark(MasqueradeMark), nft.Masquerade()},
				nft.Rule{nft.WasDNATed(), nft.InSet(setHairpins, nft.Saddr, nft.Daddr), nft.Masquerade()}),
			{Name: "firewall", Rules: []nft.Rule{{nft.InSet(setClusters, nft.Daddr), nft.Return()}, {nft.InSet(setNodes, nft.Daddr, nft.L4Proto, nft.Dport), nft.Return()}, {nft.VerdictMap(mapFirewall, nft.Daddr, nft.L4Proto, nft.Dport)}}},
			{Name: "services", Rules: serviceRules(f, c, len(inside) > 0)},
			{Name: chainExternal, Rules: externalRules(inside)},
			{Name: chainReject, Rules: []nft.Rule{{nft.OfProto(unix.IPPROTO_TCP), nft.RejectTCP()}, {nft.RejectICMP()}}},
			{Name: chainMark, Rules: append(returnFrom(inside), nft.Rule{nft.SetMark(MasqueradeMark)})},
			{Name: chainOutside, Rules: append(returnFrom(inside), nft.Rule{nft.FromHost(), nft.Return()}, nft.Rule{nft.DropPacket()})},
		}...),
	}
}

// externalRules serve external addresses, but for those of pods, whose traffic no service
// takes, and what is reserved of nodes' (nodes.go). The host's own address among the pods' is
// no pod's.
func externalRules(inside []netip.Prefix) []nft.Rule {
	serve := nft.VerdictMap(mapExternal, nft.Daddr, nft.L4Proto, nft.Dport)
	out := []nft.Rule{{nft.InSet(setNodes, nft.Daddr, nft.L4Proto, nft.Dport), nft.Return()}, {nft.ToHost(), serve}}
	for _, p := range inside {
		out = append(out, nft.Rule{nft.ToNet(p), nft.Return()})
	}
	return append(out, nft.Rule{serve})
}

func serviceRules(f nft.Family, c Config, marks bool) []nft.Rule {
	out := []nft.Rule{{nft.InSet(setReserved, nft.L4Proto, nft.Dport), nft.ToHost(), nft.Return()}}
	if marks {
		out = append(out, nft.Rule{nft.InSet(setClusters, nft.Daddr), nft.JumpTo(chainMark)})
	}
	out = append(out,
		nft.Rule{nft.VerdictMap(mapServices, nft.Daddr, nft.L4Proto, nft.Dport)},
		nft.Rule{nft.InSet(setClusters, nft.Daddr), nft.GoTo(chainReject)},
	)
	// Whoever makes services chooses external addresses: they never stand for another
	// service's address, nor for its node port at an address of the host.
	external := nft.Rule{nft.JumpTo(chainExternal)}
	nodePorts := nft.VerdictMap(mapNodePorts, nft.L4Proto, nft.Dport)
	if len(c.NodePortNets) == 0 {
		if f == nft.IPv6 { // the kernel routes nothing from ::1 to another link
			out = append(out, nft.Rule{nft.ToNet(netip.MustParsePrefix("::1/128")), nft.Return()})
		}
		return append(out, nft.Rule{nft.ToHost(), nodePorts}, external)
	}
	for _, p := range within(f, c.NodePortNets) {
		out = append(out, nft.Rule{nft.ToNet(p), nft.ToHost(), nodePorts})
	}
	return append(out, external)
}

// guardLoopback keeps others from 127.0.0.0/8, which NodePorts on it may open
// (route_localnet).
func guardLoopback(f nft.Family) []nft.Chain {
	if f == nft.IPv6 {
		return nil
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	return []nft.Chain{{Name: "guard-loopback", Hook: &nft.Hook{Type: "filter", Num: unix.NF_INET_PRE_ROUTING, Priority: -90},
		Rules: []nft.Rule{{nft.NotFromLink("lo"), nft.ToNet(loopback), nft.NotDNATed(), nft.DropPacket()}}}}
}

// dropInvalid keeps packets from pods that connection tracking can make nothing of (late ones,
// beyond the window) from passing the node untranslated: who called a service does not know
// the endpoint that such a packet comes from, answers with a reset, and so ends the
// connection that the packet was of. What is on its way to pods passes: of a connection whose
// two directions take different nodes, a node that sees one can make nothing either.
func dropInvalid(inside []netip.Prefix) []nft.Chain {
	if len(inside) == 0 {
		return nil
	}
	c := nft.Chain{Name: "drop-invalid", Hook: &nft.Hook{Type: "filter", Num: unix.NF_INET_FORWARD, Priority: 0}}
	for _, p := range inside {
		c.Rules = append(c.Rules, nft.Rule{nft.NoConn(), nft.FromNet(p), nft.DropPacket()})
	}
	return []nft.Chain{c}
}

func natHook(name string, hook uint32, priority int32, rules ...nft.Rule) nft.Chain {
	return nft.Chain{Name: name, Hook: &nft.Hook{Type: "nat", Num: hook, Priority: priority}, Rules: rules}
}

func returnFrom(nets []netip.Prefix) []nft.Rule {
	var out []nft.Rule
	for _, p := range nets {
		out = append(out, nft.Rule{nft.FromNet(p), nft.Return()})
	}
	return out
}

func within(f nft.Family, in []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range in {
		if inFamily(f, p.Addr()) {
			out = append(out, p.Masked())
		}
	}
	return out
}

// ServiceRules is what one service adds to the table.
func ServiceRules(f nft.Family, c Config, ports []Port) *nft.Fragment {
	if len(ports) == 0 {
		return nil
	}
	r := &rulesOf{Fragment: &nft.Fragment{}, inside: within(f, c.ClusterCIDRs), clients: clientsEach(len(ports))}
	for i := range ports {
		r.port(&ports[i])
	}
	return r.Fragment
}

type rulesOf struct {
	*nft.Fragment
	inside  []netip.Prefix
	clients int // that a port with affinity remembers
}

// clientsEach is how many clients each of a service's ports remembers. It goes in steps: a
// port that remembers more or fewer forgets all.
func clientsEach(ports int) int {
	return max(bounds.PortClients, bounds.ServiceClients>>bits.Len(uint(ports-1)))
}

func (r *rulesOf) chain(name string, rules ...nft.Rule) {
	r.Chains = append(r.Chains, nft.Chain{Name: name, Rules: rules})
}

func (r *rulesOf) element(set, key string, v nft.Value) {
	r.Elements = append(r.Elements, nft.Element{Set: set, Key: key, Value: v})
}

func (p *Port) name() string {
	proto := map[uint8]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_SCTP: "sctp"}[p.Proto]
	return fmt.Sprintf("%s/%s/%s/%d", p.Namespace, p.Service, proto, p.Port)
}

func (p *Port) external() bool {
	return p.NodePort != 0 || len(p.ExternalIPs)+len(p.BalancerIPs) > 0
}

func (r *rulesOf) port(p *Port) {
	if p.Sticky != 0 && len(p.All) > 0 {
		r.Sets = append(r.Sets, nft.Set{Name: "affinity/" + p.name(), Key: []nft.Type{nft.Addr},
			Data: []nft.Type{nft.Addr, nft.Port}, Dynamic: true, Most: r.clients})
	}
	if len(p.All) > 0 && (!p.InternalLocal || p.external()) {
		r.chain("cluster/"+p.name(), p.choose(p.All)...)
	}
	if len(p.Local) > 0 && (p.InternalLocal || p.ExternalLocal && p.external()) {
		r.chain("local/"+p.name(), p.choose(p.Local)...)
	}
	for _, e := range p.Local {
		r.element(setHairpins, nft.Key(e.Addr(), e.Addr()), nft.Value{})
	}
	for _, ip := range p.ClusterIPs {
		r.element(setClusters, nft.Key(ip), nft.Value{})
		r.element(mapServices, nft.Key(ip, p.Proto, p.Port), p.internal())
	}
	if p.external() {
		r.fromOutside(p)
	}
}

// choose are the rules that send a connection to one of the endpoints. Whom they remember
// is bounded: a client that there is no room for gets any endpoint each time. A packet
// that is on its way through the old rules while new ones are put in finds the old
// rule's map empty and falls through; without the last rule, which has no map, it
// would leave untranslated, and its connection with it.
func (p *Port) choose(to []netip.AddrPort) []nft.Rule {
	var rules []nft.Rule
	if p.Sticky != 0 {
		set := "affinity/" + p.name()
		rules = append(rules, nft.Rule{nft.DNATAsBefore(set, to, p.Sticky)}, nft.Rule{nft.DNATAndRemember(set, to, p.Sticky)})
	}
	rules = append(rules, nft.Rule{nft.DNATToAny(to)})
	if len(to) > 1 {
		rules = append(rules, nft.Rule{nft.DNATToAny(to[:1])})
	}
	return rules
}

// internal says where traffic to the ClusterIP goes.
func (p *Port) internal() nft.Value {
	switch {
	case len(p.All) == 0 && len(p.Local) == 0:
		return nft.Goto(chainReject)
	case !p.InternalLocal:
		return nft.Goto("cluster/" + p.name())
	case len(p.Local) == 0:
		return nft.Drop()
	}
	return nft.Goto("local/" + p.name())
}

func (r *rulesOf) fromOutside(p *Port) {
	to := nft.Goto(chainReject)
	if len(p.All) > 0 || len(p.Local) > 0 {
		to = nft.Goto("external/" + p.name())
		r.chain("external/"+p.name(), r.external(p)...)
	}
	if p.NodePort != 0 {
		r.element(mapNodePorts, nft.Key(p.Proto, p.NodePort), to)
	}
	// An address that several services have is that of who was given it by a load balancer,
	// which no user of a namespace can say of his, then of the one that had it first.
	claim := func(ip netip.Addr, rank string) {
		r.Elements = append(r.Elements, nft.Element{Set: mapExternal, Key: nft.Key(ip, p.Proto, p.Port), Value: to,
			Rank: rank + p.Since.UTC().Format(time.RFC3339)})
	}
	for _, ip := range p.ExternalIPs {
		claim(ip, "chosen ")
	}
	for _, ip := range p.BalancerIPs {
		claim(ip, "balancer ")
		if p.Guarded {
			r.element(mapFirewall, nft.Key(ip, p.Proto, p.Port), nft.Goto("allow/"+p.name()))
		}
	}
	if p.Guarded && len(p.BalancerIPs) > 0 {
		r.chain("allow/"+p.name(), append(returnFrom(p.SourceRanges), nft.Rule{nft.DropPacket()})...)
	}
}

// external are the rules for traffic to node ports and external addresses. With
// policy Local the client's address is kept, so only endpoints of this node will do;
// pods and the node itself may still use all.
func (r *rulesOf) external(p *Port) []nft.Rule {
	cluster := nft.GoTo("cluster/" + p.name())
	if !p.ExternalLocal {
		return []nft.Rule{{nft.SetMark(MasqueradeMark), cluster}}
	}
	var out []nft.Rule
	for _, in := range r.inside {
		out = append(out, nft.Rule{nft.FromNet(in), cluster})
	}
	out = append(out, nft.Rule{nft.FromHost(), nft.SetMark(MasqueradeMark), cluster})
	if len(p.Local) == 0 {
		return append(out, nft.Rule{nft.GoTo(chainOutside)})
	}
	return append(out, nft.Rule{nft.GoTo("local/" + p.name())})
}
