package network

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
)

// TestFlushedRoutes: somebody flushes the main routing table, or takes one of the kernel's own routes by
// the bridge. Pods are reached again, and the routes go with the bridge's addresses as before.
func TestFlushedRoutes(t *testing.T) {
	subnets := []netip.Prefix{netip.MustParsePrefix("10.77.3.0/24"), netip.MustParsePrefix("fd00:77:3::/64")}
	a := startAgent(t, func(o *Options) { o.PodCIDRs = subnets }, nil)
	pod := namespace(t)
	ip := join(t, a.ns, pod, a.o, "a")
	tellCaller(t, pod)
	eventually(t, "before", func() error { return a.answers(ip) })
	before := a.ways()
	for _, what := range []string{"10.77.3.0/24", "fd00:77:3::/64", "", ""} {
		in(t, a.ns, func() error { return flush(what) })
		eventually(t, "routes", func() error {
			if now := a.ways(); fmt.Sprint(now) != fmt.Sprint(before) {
				return fmt.Errorf("%v instead of %v", now, before)
			}
			return nil
		})
		eventually(t, "after", func() error { return a.answers(ip) })
	}
	a.stop()
	in(t, a.ns, func() error {
		br, err := netlink.LinkByName(DefaultBridge)
		if err != nil {
			return err
		}
		addrs, err := dump.Addrs(br, netlink.FAMILY_ALL)
		for i := range addrs {
			err = errors.Join(err, netlink.AddrDel(br, &addrs[i]))
		}
		return err
	})
	if left := a.ways(); len(left) > 0 {
		t.Errorf("without addresses there still are %v", left)
	}
}

// ways are the routes by the bridge but for those of link-local addresses.
func (a *testAgent) ways() (out []string) {
	a.t.Helper()
	in(a.t, a.ns, func() error {
		br, err := netlink.LinkByName(DefaultBridge)
		if err != nil {
			return err
		}
		routes, err := dump.Routes(netlink.FAMILY_ALL, &netlink.Route{LinkIndex: br.Attrs().Index}, netlink.RT_FILTER_OIF)
		for _, r := range routes {
			if !r.Dst.IP.IsLinkLocalUnicast() {
				out = append(out, fmt.Sprint(r.Dst, r.Src, r.Scope, r.Protocol, r.Priority))
			}
		}
		return err
	})
	return out
}

// flush is `ip route flush table main`, for both families; of one destination unless it is empty.
func flush(dst string) error {
	routes, err := dump.Routes(netlink.FAMILY_ALL, nil, 0)
	for i := range routes {
		if dst != "" && routes[i].Dst.String() != dst {
			continue
		}
		if e := netlink.RouteDel(&routes[i]); !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	return err
}
