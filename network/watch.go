package network

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/nft"
	"hyperkube/network/bridge"
)

// watch begins to listen for what others change: the bridge, its addresses, our
// routes and tables. Sockets are opened on the calling thread. The group is done some
// moments after ctx is.
func (n *Network) watch(ctx context.Context) (*sync.WaitGroup, error) {
	var group sync.WaitGroup
	links, addrs, routes := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64), make(chan netlink.RouteUpdate, 64)
	lost := func(err error) {
		if ctx.Err() == nil {
			n.o.Log.Warn("missed network notifications", "err", err)
			n.poke()
		}
	}
	err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: lost})
	if err == nil {
		group.Go(func() { drain(links, func(u netlink.LinkUpdate) bool { return n.concerns(u.Attrs().Name) }, n.poke) })
		err = netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: lost})
	}
	if err == nil {
		group.Go(func() { drain(addrs, func(u netlink.AddrUpdate) bool { return !u.NewAddr }, n.poke) })
		err = netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: lost})
	}
	if err == nil {
		group.Go(func() {
			drain(routes, func(u netlink.RouteUpdate) bool { return u.Protocol == routeOrigin || u.Gw != nil }, n.poke)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("listening for network changes: %w", err)
	}
	return &group, n.watchTables(ctx, &group)
}

func drain[T any](from <-chan T, concerns func(T) bool, poke func()) {
	for u := range from {
		if concerns(u) {
			poke()
		}
	}
}

// concerns says whether a link is the bridge or a pod's.
func (n *Network) concerns(name string) bool {
	return name == n.o.Bridge || strings.HasPrefix(name, bridge.PortPrefix)
}

func (n *Network) watchTables(ctx context.Context, group *sync.WaitGroup) error {
	n.tables = nil
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		k, err := nft.Open(nft.Table{Family: f, Name: n.o.Table})
		if err != nil {
			return err
		}
		w, err := k.NewWatcher()
		if err != nil {
			return errors.Join(err, k.Close())
		}
		t := &table{kernel: k, watcher: w}
		n.tables = append(n.tables, t)
		group.Go(func() {
			defer k.Close()
			err := w.Run(ctx, func() { t.foreign.Store(true); n.poke() })
			if err != nil {
				n.o.Log.Error("watching nftables ended", "err", err)
			}
			<-ctx.Done()
		})
	}
	return nil
}
