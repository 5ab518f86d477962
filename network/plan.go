package network

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/nft"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
	"hyperkube/network/ipam"
	"hyperkube/network/rules"
)

// Plan is what the node's network should be.
type Plan struct {
	Bridge bridge.Config
	Rules  rules.Config
	Peers  []Peer // other nodes
}

// Peer is another node's range and how to reach it; without Via it is a range that is
// reached by the bridge.
type Peer struct {
	CIDR netip.Prefix
	Via  netip.Addr
}

func (p Plan) has(f nft.Family) bool {
	return slices.ContainsFunc(p.Rules.PodCIDRs, func(c netip.Prefix) bool { return c.Addr().Is6() == (f == nft.IPv6) })
}

// plan is the plan for what the informer knows; false: the podCIDR is not known yet.
func (n *Network) plan() (Plan, bool) {
	var nodes []*corev1.Node
	if n.nodes != nil {
		nodes = n.nodes.List()
	}
	return MakePlan(n.o, nodes)
}

// MakePlan is pure.
func MakePlan(o Options, nodes []*corev1.Node) (Plan, bool) {
	p := Plan{Bridge: bridge.Config{Name: o.Bridge, MTU: o.MTU}}
	mine := o.PodCIDRs
	for _, node := range nodes {
		cidrs := podCIDRs(node)
		if node.Name == o.NodeName {
			if len(mine) == 0 {
				mine = cidrs
			}
			continue
		}
		for _, c := range cidrs {
			for _, via := range internalIPs(node) {
				if via.Is6() == c.Addr().Is6() {
					p.Peers = append(p.Peers, Peer{c, via})
					break
				}
			}
		}
	}
	slices.SortFunc(p.Peers, func(a, b Peer) int { return cmp.Compare(a.CIDR.String(), b.CIDR.String()) })
	if len(mine) == 0 {
		return p, false
	}
	for _, c := range mine {
		p.Bridge.Gateways = append(p.Bridge.Gateways, netip.PrefixFrom(ipam.Gateway(c), c.Bits()))
	}
	p.Rules = rules.Config{Bridge: o.Bridge, PodCIDRs: mine, NoMasquerade: o.ClusterCIDRs, Reserved: o.ReservedPorts}
	return p, true
}

func podCIDRs(node *corev1.Node) []netip.Prefix {
	list := node.Spec.PodCIDRs
	if len(list) == 0 && node.Spec.PodCIDR != "" {
		list = []string{node.Spec.PodCIDR}
	}
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

func internalIPs(node *corev1.Node) []netip.Addr {
	var out []netip.Addr
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				out = append(out, ip)
			}
		}
	}
	return out
}

// nodeNet is what of a node matters here; nodes are updated far more often.
func nodeNet(n *corev1.Node) string { return fmt.Sprint(podCIDRs(n), internalIPs(n)) }

// conf is the CNI configuration for a plan.
func (o Options) conf(p Plan) ([]byte, error) {
	text := func(in []netip.Prefix) []string {
		out := make([]string, len(in))
		for i, p := range in {
			out[i] = p.String()
		}
		return out
	}
	plugin := map[string]any{
		"type": cni.Type, "bridge": p.Bridge.Name, "mtu": p.Bridge.MTU, "subnets": text(p.Rules.PodCIDRs),
		"noMasquerade": text(o.ClusterCIDRs), "stateDir": o.StateDir, "table": o.Table,
		"capabilities": map[string]bool{"portMappings": true},
	}
	if len(o.ReservedPorts) > 0 {
		plugin["reservedPorts"] = o.ReservedPorts
	}
	raw, err := json.MarshalIndent(map[string]any{"cniVersion": "1.1.0", "name": "hyperkube", "plugins": []any{plugin}}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding CNI configuration: %w", err)
	}
	return append(raw, '\n'), nil
}

// ConfName is the file in ConfDir; runtimes take the first by name.
const ConfName = "10-hyperkube.conflist"

// sysctls are what the plan needs, by path under /proc/sys.
func (p Plan) sysctls() map[string]string {
	out := map[string]string{
		"net/ipv4/ip_forward":                                "1",
		"net/ipv4/conf/all/send_redirects":                   "0", // pods' only way is the gateway
		"net/ipv4/conf/" + p.Bridge.Name + "/send_redirects": "0",
		"net/ipv4/conf/" + p.Bridge.Name + "/forwarding":     "1",
		"net/ipv4/conf/" + p.Bridge.Name + "/route_localnet": "1", // node ports on 127.0.0.1
		"net/bridge/bridge-nf-call-iptables":                 "1",
	}
	if p.has(nft.IPv6) {
		out["net/ipv6/conf/all/forwarding"] = "1"
		out["net/bridge/bridge-nf-call-ip6tables"] = "1"
	}
	return out
}

// goesWithBridge says that a sysctl need not be restored.
func (p Plan) goesWithBridge(path string) bool { return strings.Contains(path, "/"+p.Bridge.Name+"/") }
