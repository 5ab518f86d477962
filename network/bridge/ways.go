package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
)

// ensureWays gives a bridge that is up its routes to the pods' ranges. The kernel makes them when
// the bridge gets its addresses, and never again: who flushes the routing table takes them for
// good. They are made as the kernel's own, so that they go with the address.
func ensureWays(link netlink.Link, gateways []netip.Prefix) error {
	for _, g := range gateways {
		if g.IsSingleIP() {
			continue // no pod fits beside the bridge, and the kernel makes no route
		}
		family, r := netlink.FAMILY_V4, way(link, g)
		if g.Addr().Is6() {
			family = netlink.FAMILY_V6
		}
		have, err := dump.Routes(family, &netlink.Route{LinkIndex: r.LinkIndex}, netlink.RT_FILTER_OIF)
		if err != nil {
			return fmt.Errorf("listing routes by %s: %w", link.Attrs().Name, err)
		}
		if slices.ContainsFunc(have, func(h netlink.Route) bool { return h.Gw == nil && h.Dst != nil && h.Dst.String() == r.Dst.String() }) {
			continue
		}
		if err := netlink.RouteAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding the route to %s by %s: %w", r.Dst, link.Attrs().Name, err)
		}
	}
	return nil
}

// way is the route that the kernel makes for an address of the bridge.
func way(link netlink.Link, g netip.Prefix) *netlink.Route {
	r := &netlink.Route{
		LinkIndex: link.Attrs().Index, Protocol: unix.RTPROT_KERNEL,
		Dst: &net.IPNet{IP: g.Masked().Addr().AsSlice(), Mask: net.CIDRMask(g.Bits(), g.Addr().BitLen())},
	}
	if g.Addr().Is6() {
		r.Priority = 256
		return r
	}
	r.Scope, r.Src = netlink.SCOPE_LINK, g.Addr().AsSlice()
	return r
}
