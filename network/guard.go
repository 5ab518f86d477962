package network

import (
	"errors"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/dump"
	"hyperkube/internal/nft"
	"hyperkube/network/cni"
)

// ensureGuards makes the guards of pods' links what they should be. The plugin makes them
// with the links; they are mended here, and those of links that are gone removed. What
// cannot be guarded is told, and pods go without: the rest of their network is right.
func (n *Network) ensureGuards(ours map[string]*cni.Attachment, there map[string]netlink.Link) {
	err := n.changeGuards(ours, there)
	for again := 0; again < 2 && errors.Is(err, syscall.ENOENT); again++ { // a link went meanwhile, perhaps
		if links, e := dump.Links(); e == nil {
			there = byName(links)
		}
		err = n.changeGuards(ours, there)
	}
	if err == nil {
		n.guarding.Well()
		return
	}
	n.guarding.Failed(err)
	n.lookAt(time.Now().Add(repairPause))
}

func (n *Network) changeGuards(ours map[string]*cni.Attachment, there map[string]netlink.Link) error {
	want := nft.NewDesired(n.guards.Table())
	var kept []string // of links that nothing is known of any more
	for name, note := range ours {
		_, is := there[name]
		switch {
		case !is:
		case note == nil || len(note.Addrs) == 0:
			kept = append(kept, name)
		default:
			want.Put(name, &nft.Fragment{Chains: []nft.Chain{cni.GuardOf(note.Port())}})
		}
	}
	// Some kernels remove a chain with its link and tell nobody, so nothing is remembered.
	have, err := n.guards.Read()
	if nft.Unsupported(err) {
		return errors.Join(errNoGuards, err)
	}
	if err != nil {
		return err
	}
	for _, name := range kept {
		delete(have.Chains, name)
	}
	c := want.PlanAll(have)
	if c.Empty() {
		return nil
	}
	return n.guards.Apply(c)
}

var errNoGuards = errors.New("this kernel cannot look at what a link brings (nftables family netdev); pods may send in others' names")
