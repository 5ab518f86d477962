// Package cni is the CNI plugin: it joins a pod to the node's bridge.
//
//	ADD     address ─▶ bridge ─▶ link with both ends ─▶ pod's end ─▶ host ports
//	DEL     host ports ─▶ link ─▶ address; what is gone already is no error
//	CHECK   address held, both ends there, the pod's end has the address
//	GC      DEL for whatever is not in the list of valid attachments
//	STATUS  the state directory can be written and links can be listed
//
// The container runtime executes the plugin for every pod, so it is a program of its
// own (cmd/hyperkube-cni) that links little. Everything it must remember is in the
// state directory; a plugin killed at any point leaves only what DEL or GC removes. ADD
// marks its work there before it begins, and no sweeper touches what is marked (attach.go).
package cni

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"hyperkube/internal/dump"
	"hyperkube/internal/netns"
	"hyperkube/network/bridge"
	"hyperkube/network/ipam"
)

// Funcs are the plugin's verbs.
func Funcs() skel.CNIFuncs {
	return skel.CNIFuncs{
		Add: func(a *skel.CmdArgs) error {
			res, version, err := Add(a)
			if err != nil {
				return err
			}
			return types.PrintResult(res, version)
		},
		Del: Del, Check: Check, GC: GC, Status: Status,
	}
}

// Add joins a container to the network and returns the result and the version that
// the caller wants it in.
func Add(a *skel.CmdArgs) (res *types100.Result, version string, err error) {
	n, err := decode(a.StdinData)
	if err != nil {
		return nil, "", err
	}
	ns, err := netns.Open(a.Netns)
	if err != nil {
		return nil, "", types.NewError(types.ErrInvalidNetNS, "cannot use the pod's network namespace", err.Error())
	}
	defer ns.Close()
	owner := ipam.Owner{Container: a.ContainerID, Interface: a.IfName}
	port := bridge.Port{Name: bridge.PortName(a.ContainerID, a.IfName), Iface: a.IfName, MTU: n.MTU}
	at, addrs, err := n.allocate(owner, a.Netns, &port)
	if err != nil {
		return nil, "", err
	}
	defer at.done()
	defer func() {
		if err != nil {
			err = errors.Join(err, n.release(owner, addrs))
		}
	}()
	br, err := bridge.Ensure(n.bridge())
	if err != nil {
		return nil, "", err
	}
	hostMAC, podMAC, err := bridge.Attach(br, ns, port)
	if err != nil {
		return nil, "", err
	}
	if err = n.guard(port); err == nil {
		err = n.mapPorts(owner, addrs)
	}
	if err != nil {
		return nil, "", errors.Join(err, bridge.Detach(port.Name, addrs...), n.unguard(port.Name))
	}
	return n.result(a, br, port, hostMAC, podMAC), n.CNIVersion, nil
}

// allocate marks the attachment as in flight before it takes anything.
func (n *network) allocate(owner ipam.Owner, netns string, port *bridge.Port) (at *mark, addrs []netip.Addr, err error) {
	pool, err := ipam.Open(AddressDir(n.StateDir))
	if err != nil {
		return nil, nil, err
	}
	defer pool.Close()
	if err := n.noteNetns(netns); err != nil {
		return nil, nil, err
	}
	note := &Attachment{Owner: owner, Netns: netns, MTU: n.MTU}
	if at, err = n.begin(note); err != nil {
		return nil, nil, err
	}
	for _, s := range n.subnets {
		a, e := pool.Allocate(s, owner)
		if err = e; err != nil {
			break
		}
		addrs = append(addrs, a)
		port.Addrs = append(port.Addrs, netip.PrefixFrom(a, s.Bits()))
		port.Gates = append(port.Gates, ipam.Gateway(s))
	}
	if err == nil {
		note.Addrs, note.Gates = port.Addrs, port.Gates
		err = at.save(note)
	}
	if err != nil {
		err = errors.Join(err, pool.Release(addrs...), n.forget(owner))
		at.done()
		return nil, nil, err
	}
	return at, addrs, nil
}

// release gives back what a failed ADD took.
func (n *network) release(owner ipam.Owner, addrs []netip.Addr) error {
	pool, err := ipam.Open(AddressDir(n.StateDir))
	if err != nil {
		return err
	}
	defer pool.Close()
	return errors.Join(pool.Release(addrs...), n.forget(owner))
}

func (n *network) result(a *skel.CmdArgs, br netlink.Link, p bridge.Port, hostMAC, podMAC net.HardwareAddr) *types100.Result {
	res := &types100.Result{CNIVersion: types100.ImplementedSpecVersion, DNS: n.DNS, Interfaces: []*types100.Interface{
		{Name: br.Attrs().Name, Mac: br.Attrs().HardwareAddr.String(), Mtu: br.Attrs().MTU},
		{Name: p.Name, Mac: hostMAC.String()},
		{Name: p.Iface, Mac: podMAC.String(), Sandbox: a.Netns},
	}}
	for i, addr := range p.Addrs {
		gw := net.IP(p.Gates[i].AsSlice())
		bits := addr.Addr().BitLen()
		res.IPs = append(res.IPs, &types100.IPConfig{Interface: types100.Int(2), Gateway: gw,
			Address: net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), bits)}})
		res.Routes = append(res.Routes, &types.Route{GW: gw,
			Dst: net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)}})
	}
	return res
}

// Del undoes Add.
func Del(a *skel.CmdArgs) error {
	n, err := decode(a.StdinData)
	if err != nil {
		return err
	}
	owner := ipam.Owner{Container: a.ContainerID, Interface: a.IfName}
	if err := n.awaitAdd(owner); err != nil {
		return err
	}
	return n.remove(owner)
}

// remove takes an attachment away; the address goes last, so that nobody gets it
// while the old link still answers for it.
func (n *network) remove(owner ipam.Owner) error {
	held, err := ipam.Peek(AddressDir(n.StateDir))
	if err != nil {
		return err
	}
	link := bridge.PortName(owner.Container, owner.Interface)
	if err = n.unmapPorts(owner); err == nil {
		err = bridge.Detach(link, ipam.OwnedBy(held, owner)...)
	}
	if err == nil {
		err = n.unguard(link)
	}
	if err != nil {
		return err
	}
	pool, err := ipam.Open(AddressDir(n.StateDir))
	if err != nil {
		return err
	}
	defer pool.Close()
	addrs, err := pool.Of(owner)
	if err != nil {
		return err
	}
	return errors.Join(pool.Release(addrs...), n.forget(owner))
}

// GC removes every attachment that the runtime does not list as valid.
func GC(a *skel.CmdArgs) error {
	n, err := decode(a.StdinData)
	if err != nil {
		return err
	}
	valid := map[ipam.Owner]bool{}
	for _, v := range n.ValidAttachments {
		valid[ipam.Owner{Container: v.ContainerID, Interface: v.IfName}] = true
	}
	return n.collect(func(o ipam.Owner) bool { return valid[o] })
}

func (n *network) collect(keep func(ipam.Owner) bool) error {
	held, err := n.held()
	if err != nil {
		return err
	}
	var errs error
	for o, h := range held {
		if !keep(o) && !h.InFlight { // what is being added is not on the caller's list yet
			errs = errors.Join(errs, n.remove(o))
		}
	}
	return errs
}

// Check verifies that what Add made is there.
func Check(a *skel.CmdArgs) error {
	n, err := decode(a.StdinData)
	if err != nil {
		return err
	}
	pool, err := ipam.Open(AddressDir(n.StateDir))
	if err != nil {
		return err
	}
	addrs, err := pool.Of(ipam.Owner{Container: a.ContainerID, Interface: a.IfName})
	if err := errors.Join(err, pool.Close()); err != nil {
		return err
	}
	if len(addrs) != len(n.subnets) {
		return types.NewError(types.ErrUnknownContainer, "the container has no address in this network", a.ContainerID)
	}
	name := bridge.PortName(a.ContainerID, a.IfName)
	if _, err := dump.Link(name); err != nil {
		return fmt.Errorf("node's end of the link: %w", err)
	}
	ns, err := netns.Open(a.Netns)
	if err != nil {
		return types.NewError(types.ErrInvalidNetNS, "cannot use the pod's network namespace", err.Error())
	}
	defer ns.Close()
	return ns.Do(func() error { return checkPod(a.IfName, addrs) })
}

func checkPod(iface string, addrs []netip.Addr) error {
	link, err := dump.Link(iface)
	if err != nil {
		return fmt.Errorf("pod's end of the link: %w", err)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		return fmt.Errorf("%s is down", iface)
	}
	have, err := dump.Addrs(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing addresses of %s: %w", iface, err)
	}
	found := map[netip.Addr]bool{}
	for _, h := range have {
		if a, ok := netip.AddrFromSlice(h.IP); ok {
			found[a.Unmap()] = true
		}
	}
	for _, a := range addrs {
		if !found[a] {
			return fmt.Errorf("%s does not have address %s", iface, a)
		}
	}
	return nil
}

// Status reports whether Add can work.
func Status(a *skel.CmdArgs) error {
	n, err := decode(a.StdinData)
	if err != nil {
		return err
	}
	pool, err := ipam.Open(AddressDir(n.StateDir))
	if err != nil {
		code := types.ErrPluginNotAvailable
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, os.ErrDeadlineExceeded) {
			code = types.ErrTryAgainLater
		}
		return types.NewError(code, "address state cannot be used", err.Error())
	}
	if err := pool.Close(); err != nil {
		return fmt.Errorf("closing address state: %w", err)
	}
	if _, err := dump.Link("lo"); err != nil {
		return types.NewError(types.ErrPluginNotAvailable, "links cannot be listed", err.Error())
	}
	return nil
}
