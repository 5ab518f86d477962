package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/dump"
)

// lookForTwins tells of other links that have the bridge's address, as a bridge has that
// somebody renamed: what is for pods goes there, and only who made it so knows whether the
// link may go.
func (n *Network) lookForTwins(plan Plan, br netlink.Link) error {
	list, err := dump.Addrs(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing the host's addresses: %w", err)
	}
	var twins []string
	for i := range list {
		a, ok := netip.AddrFromSlice(list[i].IP)
		if !ok || list[i].LinkIndex == br.Attrs().Index || !slices.ContainsFunc(plan.Bridge.Gateways, func(g netip.Prefix) bool { return g.Addr() == a.Unmap() }) {
			continue
		}
		name := fmt.Sprintf("link %d", list[i].LinkIndex)
		if link, err := netlink.LinkByIndex(list[i].LinkIndex); err == nil {
			name = link.Attrs().Name
		}
		twins = append(twins, name)
	}
	slices.Sort(twins)
	what := strings.Join(slices.Compact(twins), ", ")
	if what != "" && what != n.twins {
		n.o.Log.Warn("another link has the address of the pods' bridge: pods are not reached", "link", what, "bridge", n.o.Bridge,
			"next", "remove that link or its address; pods' links move to "+n.o.Bridge+" by themselves")
	}
	n.twins = what
	return nil
}
