package cni

import (
	"errors"
	"net/netip"
	"syscall"

	"hyperkube/internal/nft"
	"hyperkube/network/bridge"
	"hyperkube/network/rules"
)

// GuardOf is the guard of a pod's link.
func GuardOf(p bridge.Port) nft.Chain {
	addrs := make([]netip.Addr, len(p.Addrs))
	for i, a := range p.Addrs {
		addrs[i] = a.Addr()
	}
	return rules.Guard(p.Name, bridge.HardwareAddr(addrs[0]), addrs)
}

// guard puts the guard of a pod's link in place before anything runs in the pod. A kernel
// that has none is told of by the node's agent, and pods go without.
func (n *network) guard(p bridge.Port) error {
	c := GuardOf(p)
	err := n.changeGuards(nft.OneChain(&c))
	if nft.Unsupported(err) {
		return nil
	}
	return err
}

// unguard removes what guarded a link that is gone; some kernels do so with the link.
func (n *network) unguard(link string) error {
	err := n.changeGuards(nft.NoChain(link))
	if errors.Is(err, syscall.ENOENT) || nft.Unsupported(err) {
		return nil
	}
	return err
}

func (n *network) changeGuards(c *nft.Changes) error {
	k, err := nft.Open(nft.Table{Family: nft.Netdev, Name: n.Table})
	if err != nil {
		return err
	}
	return errors.Join(k.Apply(c), k.Close())
}
