package bridge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/internal/netns"
)

// PortPrefix begins the names of the node's ends of pods' links.
const PortPrefix = "hkv"

// PortName is the node's end of the link of a container's interface.
func PortName(container, iface string) string {
	sum := sha256.Sum256([]byte(container + "/" + iface))
	return PortPrefix + hex.EncodeToString(sum[:6])
}

// Port is a pod's link to the bridge.
type Port struct {
	Name  string // of the node's end
	Iface string // of the pod's end
	MTU   int
	Addrs []netip.Prefix // the pod's addresses with the length of their subnets
	Gates []netip.Addr   // one gateway for each address
}

// Attach makes the link and configures the pod's end. It leaves nothing behind when it fails.
func Attach(br netlink.Link, ns *netns.NS, p Port) (host, pod net.HardwareAddr, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = p.Name, p.MTU, net.FlagUp
	if p.MTU == 0 {
		attrs.MTU = br.Attrs().MTU
	}
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: p.Iface, PeerMTU: uint32(attrs.MTU),
		PeerNamespace: netlink.NsFd(ns.Fd()), PeerHardwareAddr: HardwareAddr(p.Addrs[0].Addr())}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, nil, fmt.Errorf("making link %s: %w", p.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Detach(p.Name))
		}
	}()
	link, err := dump.Link(p.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("finding link %s: %w", p.Name, err)
	}
	if err := Join(link, br, p.Addrs); err != nil {
		return nil, nil, err
	}
	if err := ns.Do(func() error { return Configure(p) }); err != nil {
		return nil, nil, err
	}
	return link.Attrs().HardwareAddr, veth.PeerHardwareAddr, nil
}

// Join makes the node's end of a pod's link a port of the bridge. What is known of who has
// which address is written down there and never learned from what pods send: a pod with
// CAP_NET_RAW, which is among the default ones, would say that another's is its own.
func Join(link, br netlink.Link, addrs []netip.Prefix) error {
	if err := netlink.LinkSetMaster(link, br); err != nil {
		return fmt.Errorf("joining %s to %s: %w", link.Attrs().Name, br.Attrs().Name, err)
	}
	if err := netlink.LinkSetHairpin(link, true); err != nil {
		return fmt.Errorf("setting hairpin mode of %s: %w", link.Attrs().Name, err)
	}
	if len(addrs) == 0 { // nothing is known of it
		return nil
	}
	mac := HardwareAddr(addrs[0].Addr())
	if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER,
		State: netlink.NUD_NOARP, HardwareAddr: mac}); err != nil {
		return fmt.Errorf("noting the link address at %s: %w", link.Attrs().Name, err)
	}
	if err := netlink.LinkSetLearning(link, false); err != nil {
		return fmt.Errorf("setting learning of %s off: %w", link.Attrs().Name, err)
	}
	// So what is sent to a link address that is not written down is nobody's: it was a pod's
	// that is gone, and is no other's to read.
	if err := netlink.LinkSetFlood(link, false); err != nil {
		return fmt.Errorf("setting flooding of %s off: %w", link.Attrs().Name, err)
	}
	for _, a := range addrs {
		if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: br.Attrs().Index, IP: a.Addr().AsSlice(), State: netlink.NUD_PERMANENT, HardwareAddr: mac}); err != nil {
			return fmt.Errorf("noting the link address of %s: %w", a.Addr(), err)
		}
	}
	return nil
}

// Detach removes a link by the name of the node's end, and what the bridge knows of the
// addresses that were the pod's; it is no error if it is gone. (Of a link that is gone the
// bridge is not known any more: see Forget.)
func Detach(name string, addrs ...netip.Addr) error {
	link, err := dump.Link(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing link %s: %w", name, err)
	}
	if br := link.Attrs().MasterIndex; br != 0 {
		return Forget(br, addrs...)
	}
	return nil
}

// Forget removes what a bridge was told of who has an address. As long as it is there,
// who calls a pod that is gone waits in vain instead of being told.
func Forget(br int, addrs ...netip.Addr) error {
	for _, a := range addrs {
		if err := netlink.NeighDel(&netlink.Neigh{LinkIndex: br, IP: a.AsSlice()}); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("forgetting the link address of %s: %w", a, err)
		}
	}
	return nil
}

// Known are the addresses of which a bridge was told who has them.
func Known(br netlink.Link) ([]netip.Addr, error) {
	list, err := dump.Neighbours(br, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing neighbours of %s: %w", br.Attrs().Name, err)
	}
	var out []netip.Addr
	for i := range list {
		a, ok := netip.AddrFromSlice(list[i].IP)
		if ok && list[i].State&netlink.NUD_PERMANENT != 0 && strings.HasPrefix(string(list[i].HardwareAddr), ourLinkAddrs) {
			out = append(out, a.Unmap())
		}
	}
	return out, nil
}

// Configure sets the pod's end up, in the pod's namespace. It may be repeated to mend what
// was lost, and changes nothing else that the pod did there.
func Configure(p Port) error {
	lo, err := dump.Link("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	link, err := dump.Link(p.Iface)
	if err != nil {
		return fmt.Errorf("finding %s: %w", p.Iface, err)
	}
	for _, s := range []struct{ path, value string }{
		{"net/ipv4/conf/" + p.Iface + "/arp_notify", "1"}, // announce the address when the link comes up
		{"net/ipv4/conf/all/accept_redirects", "0"},       // there is no shorter way than the gateway
		{"net/ipv4/conf/" + p.Iface + "/accept_redirects", "0"},
		{"net/ipv6/conf/" + p.Iface + "/accept_ra", "0"}, // nor another router
		{"net/ipv6/conf/all/accept_redirects", "0"},
		{"net/ipv6/conf/" + p.Iface + "/accept_redirects", "0"},
	} {
		if _, err := Sysctl(s.path, s.value); err != nil {
			return err
		}
	}
	for _, a := range p.Addrs {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())},
			Flags: unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(link, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding address %s to %s: %w", a, p.Iface, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", p.Iface, err)
	}
	return addRoutes(link, p.Gates)
}

func addRoutes(link netlink.Link, gates []netip.Addr) error {
	for _, g := range gates {
		ip := net.IP(g.AsSlice())
		// The bridge has the link address of its first address; nobody else is believed to be it.
		if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: ip, State: netlink.NUD_PERMANENT, HardwareAddr: HardwareAddr(gates[0])}); err != nil {
			return fmt.Errorf("noting the link address of gateway %s: %w", g, err)
		}
		direct := &netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: ip, Mask: net.CIDRMask(g.BitLen(), g.BitLen())}}
		if err := netlink.RouteAdd(direct); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding route to gateway %s: %w", g, err)
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: ip}); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding default route by %s: %w", g, err)
		}
	}
	return nil
}
