// Package bridge makes the node's pod bridge and joins pods to it.
//
// Pods are reached by routing, not by switching: a pod has no route to its own
// subnet, only one to the gateway (the bridge's address) and a default route through
// it. So every packet between pods passes the node's IP layer, where services are
// translated both ways, whether or not bridge-nf-call-iptables exists. Link addresses
// are derived from IP addresses, so a neighbour entry is never wrong.
package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
)

// Config describes the bridge.
type Config struct {
	Name     string
	MTU      int            // 0: the kernel's default
	Gateways []netip.Prefix // the bridge's own addresses, with the subnet's length
}

// HardwareAddr is the link address that belongs to an IP address.
func HardwareAddr(a netip.Addr) net.HardwareAddr {
	b := a.AsSlice()
	return append(net.HardwareAddr(ourLinkAddrs), b[len(b)-4:]...)
}

// ourLinkAddrs begins the link addresses that are derived from IP addresses.
const ourLinkAddrs = "\x0a\x58"

// Ensure makes the bridge as described, whatever is there, in the namespace of the
// calling thread, and returns its index.
func Ensure(c Config) (netlink.Link, error) {
	link, err := dump.Link(c.Name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		link, err = create(c)
	}
	if err != nil {
		return nil, fmt.Errorf("finding bridge %s: %w", c.Name, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("link %s is a %s, not a bridge", c.Name, link.Type())
	}
	if c.MTU != 0 && link.Attrs().MTU != c.MTU {
		if err := netlink.LinkSetMTU(link, c.MTU); err != nil {
			return nil, fmt.Errorf("setting MTU of %s: %w", c.Name, err)
		}
	}
	if err := believeNobody(link); err != nil {
		return nil, err
	}
	if err := ensureAddrs(link, c.Gateways); err != nil {
		return nil, err
	}
	if len(c.Gateways) > 0 { // pods know it, and believe nobody who says otherwise
		if mac := HardwareAddr(c.Gateways[0].Addr()); !bytes.Equal(mac, link.Attrs().HardwareAddr) {
			if err := netlink.LinkSetHardwareAddr(link, mac); err != nil {
				return nil, fmt.Errorf("setting the link address of %s: %w", c.Name, err)
			}
			link.Attrs().HardwareAddr = mac
		}
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("setting %s up: %w", c.Name, err)
		}
	}
	return link, ensureWays(link, c.Gateways)
}

// believeNobody keeps pods from telling the node how to reach the world: with CAP_NET_RAW
// one could say that it is the IPv6 router, and send in others' names.
func believeNobody(link netlink.Link) error {
	name := link.Attrs().Name
	before, err := Sysctl("net/ipv6/conf/"+name+"/accept_ra", "0")
	if err != nil {
		return err
	}
	for path, value := range map[string]string{
		"net/ipv6/conf/" + name + "/accept_redirects": "0",
		"net/ipv4/conf/" + name + "/accept_redirects": "0",
		"net/ipv4/conf/" + name + "/rp_filter":        "1", // only what is routed back to the bridge
	} {
		if _, err := Sysctl(path, value); err != nil {
			return err
		}
	}
	if before == "" || before == "0" {
		return nil
	}
	// What was believed until now.
	learned, err := dump.Routes(netlink.FAMILY_V6, &netlink.Route{LinkIndex: link.Attrs().Index, Protocol: unix.RTPROT_RA}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("listing routes by %s: %w", name, err)
	}
	for i := range learned {
		if err := netlink.RouteDel(&learned[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("removing a route by %s that a pod announced: %w", name, err)
		}
	}
	return nil
}

func create(c Config) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = c.Name, c.MTU
	if len(c.Gateways) > 0 { // or it would change with the ports
		attrs.HardwareAddr = HardwareAddr(c.Gateways[0].Addr())
	}
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("making it: %w", err)
	}
	return dump.Link(c.Name)
}

func ensureAddrs(link netlink.Link, want []netip.Prefix) error {
	have, err := dump.Addrs(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing addresses of %s: %w", link.Attrs().Name, err)
	}
	wanted := map[string]bool{}
	for _, p := range want {
		wanted[p.String()] = true
	}
	for i := range have {
		switch s := have[i].IPNet.String(); {
		case wanted[s]:
			delete(wanted, s)
		case have[i].IP.IsLinkLocalUnicast():
		default: // of an earlier range
			if err := netlink.AddrDel(link, &have[i]); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return fmt.Errorf("removing address %s: %w", s, err)
			}
		}
	}
	for s := range wanted {
		a, err := netlink.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("address %s: %w", s, err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, a); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding address %s to %s: %w", s, link.Attrs().Name, err)
		}
	}
	return nil
}

// Sysctl writes a value under /proc/sys if it differs; it returns what was there.
// A file that does not exist is left alone.
func Sysctl(path, value string) (before string, err error) {
	full := "/proc/sys/" + path
	old, err := os.ReadFile(full)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	for len(old) > 0 && (old[len(old)-1] == '\n' || old[len(old)-1] == ' ') {
		old = old[:len(old)-1]
	}
	if string(old) == value {
		return value, nil
	}
	if err := os.WriteFile(full, []byte(value), 0); err != nil {
		if errors.Is(err, syscall.EROFS) {
			return "", fmt.Errorf("%s must be %s but is %s and /proc/sys is read-only", path, value, old)
		}
		return "", fmt.Errorf("setting %s: %w", path, err)
	}
	return string(old), nil
}
