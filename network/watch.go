package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"hyperkube/internal/filewatch"
	"hyperkube/internal/nft"
	"hyperkube/internal/supervise"
	"hyperkube/network/bridge"
)

// eventBuffer holds the kernel's notifications until they are read.
const eventBuffer = 4 << 20

// watchers are the goroutines that listen. One that ends before its time ends the role,
// with the cause, so that it starts anew and listens again.
type watchers struct {
	sync.WaitGroup
	ctx  context.Context
	fail context.CancelCauseFunc
}

func (w *watchers) start(name string, f func() error) {
	w.Go(func() {
		err := supervise.Contain(name, f)
		if w.ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended")
			}
			w.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// watch begins to listen for what others change: links, addresses, our routes and tables,
// the CNI configuration. Sockets are opened on the calling thread. What it starts is done
// some moments after w.ctx is.
func (n *Network) watch(w *watchers) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return fmt.Errorf("listening for network changes: %w", err)
	}
	_ = s.SetReceiveBufferSize(eventBuffer, true) // a smaller one overflows sooner, which is told
	stop := context.AfterFunc(w.ctx, s.Close)
	w.start("listening for network changes", func() error {
		defer stop()
		return n.listen(func() ([]syscall.NetlinkMessage, error) { msgs, _, err := s.Receive(); return msgs, err })
	})
	n.watchConf(w)
	return n.watchTables(w)
}

// listen pokes for each batch of notifications that concerns us, and when some were lost.
func (n *Network) listen(receive func() ([]syscall.NetlinkMessage, error)) error {
	for {
		msgs, err := receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // the socket goes on
			n.o.Log.Debug("missed network notifications")
			n.poke()
			continue
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return err
		}
		for i := range msgs {
			if n.concerns(&msgs[i]) {
				n.poke()
				break
			}
		}
	}
}

// concerns says whether a notification is of the bridge, a pod's link, an address that
// went, a route of ours or by a gateway, the kernel's own route by the bridge that went, or
// that something is not forwarded any more.
func (n *Network) concerns(m *syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		h := unix.NlMsghdr(m.Header)
		link, err := netlink.LinkDeserialize(&h, m.Data)
		if err != nil {
			return true
		}
		name := link.Attrs().Name
		return name == n.o.Bridge || strings.HasPrefix(name, bridge.PortPrefix)
	case unix.RTM_DELADDR:
		return true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(m.Data) < unix.SizeofRtMsg {
			return false
		}
		if netlink.RouteProtocol(m.Data[5]) == routeOrigin || m.Data[1] == 0 { // rtm_protocol; rtm_dst_len: a default route
			return true
		}
		attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofRtMsg:])
		if lost := m.Header.Type == unix.RTM_DELROUTE && netlink.RouteProtocol(m.Data[5]) == unix.RTPROT_KERNEL; lost && toBridge(attrs, n.bridge.Load()) {
			return true
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.RTA_GATEWAY {
				return true
			}
		}
		return err != nil
	case unix.RTM_NEWNETCONF:
		return stopsForwarding(m.Data)
	}
	return false
}

// stopsForwarding says whether a notification of a sysctl is that packets which come in by a
// link, or by any, are not forwarded.
func stopsForwarding(data []byte) bool {
	const header, forwarding = 4, 2 // the family, padded; NETCONFA_FORWARDING
	if len(data) < header {
		return false
	}
	attrs, err := nl.ParseRouteAttr(data[header:])
	return err != nil || slices.ContainsFunc(attrs, func(a syscall.NetlinkRouteAttr) bool {
		return a.Attr.Type == forwarding && len(a.Value) == 4 && binary.NativeEndian.Uint32(a.Value) == 0
	})
}

// toBridge says whether a route's packets leave by the link with an index.
func toBridge(attrs []syscall.NetlinkRouteAttr, index int32) bool {
	return slices.ContainsFunc(attrs, func(a syscall.NetlinkRouteAttr) bool {
		return a.Attr.Type == unix.RTA_OIF && len(a.Value) == 4 && int32(binary.NativeEndian.Uint32(a.Value)) == index
	})
}

func (n *Network) watchTables(w *watchers) error {
	n.tables = nil
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		k, err := nft.Open(nft.Table{Family: f, Name: n.o.Table})
		if err != nil {
			return err
		}
		listener, err := k.NewWatcher()
		if err != nil {
			return errors.Join(err, k.Close())
		}
		t := &table{kernel: k, watcher: listener}
		n.tables = append(n.tables, t)
		w.start("watching nftables", func() error {
			return listener.Run(w.ctx, func() { t.foreign.Store(true); n.poke() })
		})
	}
	var err error
	if n.guards, err = nft.Open(nft.Table{Family: nft.Netdev, Name: n.o.Table}); err != nil {
		return err
	}
	listener, err := n.guards.NewWatcher()
	if err != nil {
		return err
	}
	w.start("watching nftables", func() error { return listener.Run(w.ctx, n.poke) })
	return nil
}

// closeTables is called when nobody uses them any more.
func (n *Network) closeTables() error {
	var errs error
	for _, t := range n.tables {
		errs = errors.Join(errs, t.kernel.Close())
	}
	if n.guards != nil {
		errs = errors.Join(errs, n.guards.Close())
	}
	return errs
}

// watchConf listens for changes of the CNI configuration. The directory may come and go:
// writing the file watches it again. Where it cannot be watched it is looked at every
// blindPause.
func (n *Network) watchConf(w *watchers) {
	n.conf = filewatch.New(n.watching)
	w.start("watching the CNI configuration", func() error {
		n.conf.Run(w.ctx, func(name string) {
			switch {
			case name == "" && n.conf.Err() != nil: // nothing is watched
			case name == "", filepath.Base(name) == ConfName, name == filepath.Clean(n.o.ConfDir):
				n.poke()
			}
		})
		return nil
	})
}
