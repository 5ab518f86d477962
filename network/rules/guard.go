package rules

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"hyperkube/internal/nft"
)

// Types of ICMPv6 that only routers send.
const (
	routerAdvertisement = 134
	redirect            = 137
)

// Guard is the chain that sees first what a pod sends, at the node's end of its link. A pod
// with CAP_NET_RAW, which is among the default capabilities, can send what it likes; what
// passes is listed here: IPv4, ARP and IPv6 in the pod's own name, nothing that only a
// router says. mac is the pod's, addrs are its addresses.
func Guard(link string, mac net.HardwareAddr, addrs []netip.Addr) nft.Chain {
	c := nft.Chain{Name: link, Hook: &nft.Hook{Type: "filter", Num: unix.NF_NETDEV_INGRESS, Link: link}}
	put := func(r ...nft.Stmt) { c.Rules = append(c.Rules, r) }
	ip4, ip6, arp := nft.EtherType(unix.ETH_P_IP), nft.EtherType(unix.ETH_P_IPV6), nft.EtherType(unix.ETH_P_ARP)
	put(nft.NotFromMAC(mac), nft.DropPacket())
	for _, a := range addrs {
		if a.Is4() {
			put(ip4, nft.From(a), nft.Accept())
			put(arp, nft.ARPFrom(a, mac), nft.Accept())
		}
	}
	for _, kind := range []uint8{routerAdvertisement, redirect} {
		put(ip6, nft.OfProto(unix.IPPROTO_ICMPV6), nft.ICMPType(kind), nft.DropPacket())
	}
	for _, a := range append([]netip.Addr{linkLocal(mac)}, addrs...) {
		if a.Is6() {
			put(ip6, nft.From(a), nft.Accept())
		}
	}
	// It asks whether somebody has its address already.
	put(ip6, nft.OfProto(unix.IPPROTO_ICMPV6), nft.From(netip.IPv6Unspecified()), nft.Accept())
	put(nft.DropPacket())
	return c
}

// linkLocal is the address that a link gives itself.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}
