package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/internal/nft"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
)

// routeOrigin marks our routes (the "proto" that `ip route` shows).
const routeOrigin netlink.RouteProtocol = 0x4b

// ensureBridge makes the bridge and joins pods' links that lost it.
func (n *Network) ensureBridge(plan Plan) (netlink.Link, error) {
	br, err := bridge.Ensure(plan.Bridge)
	if err != nil {
		return nil, err
	}
	links, err := dump.Links()
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		if !strings.HasPrefix(l.Attrs().Name, bridge.PortPrefix) || l.Type() != "veth" || l.Attrs().MasterIndex != 0 {
			continue
		}
		if err := netlink.LinkSetMaster(l, br); err != nil && !errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("joining %s to %s: %w", l.Attrs().Name, plan.Bridge.Name, err)
		}
		if err := netlink.LinkSetHairpin(l, true); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("setting hairpin mode of %s: %w", l.Attrs().Name, err)
		}
	}
	return br, nil
}

func (n *Network) sysctlFile() string { return filepath.Join(n.o.StateDir, "sysctls.json") }

// setSysctls remembers what was there before it changes anything.
func (n *Network) setSysctls(plan Plan) error {
	before, err := readSysctls(n.sysctlFile())
	if err != nil {
		return err
	}
	changed := false
	for path := range plan.sysctls() {
		if _, known := before[path]; known || plan.goesWithBridge(path) {
			continue
		}
		raw, err := os.ReadFile("/proc/sys/" + path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		before[path], changed = strings.TrimSpace(string(raw)), true
	}
	if changed {
		raw, err := json.Marshal(before)
		if err != nil {
			return fmt.Errorf("encoding sysctls: %w", err)
		}
		if err := writeFile(n.sysctlFile(), raw, 0o600); err != nil {
			return err
		}
	}
	for path, value := range plan.sysctls() {
		if _, err := bridge.Sysctl(path, value); err != nil {
			return err
		}
	}
	return nil
}

func readSysctls(file string) (map[string]string, error) {
	out := map[string]string{}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading saved sysctls: %w", err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("saved sysctls in %s: %w", file, err)
	}
	return out, nil
}

// writeFile replaces a file as a whole.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err == nil {
		_, err = f.Write(data)
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func (n *Network) writeConf(plan Plan) error {
	want, err := n.o.conf(plan)
	if err != nil {
		return err
	}
	path := filepath.Join(n.o.ConfDir, ConfName)
	if have, err := os.ReadFile(path); err == nil && string(have) == string(want) {
		return nil
	}
	return writeFile(path, want, 0o644)
}

func (n *Network) putHostPorts(d *nft.Desired, f nft.Family) error {
	ports, err := cni.ReadPorts(n.o.StateDir)
	if err != nil {
		return err
	}
	for i := range ports {
		d.Put("pod/"+ports[i].Owner.Container+"/"+ports[i].Owner.Interface, &nft.Fragment{Elements: ports[i].Elements(f)})
	}
	return nil
}

// ensureRoutes points to other nodes' ranges where they are neighbours, and removes
// our routes to what is no node's range any more.
func (n *Network) ensureRoutes(plan Plan) error {
	have, err := dump.Routes(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeOrigin}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	there := map[Peer]bool{}
	for i := range have {
		p, ok := peerOf(&have[i])
		wanted := false
		for _, w := range plan.Peers {
			wanted = wanted || ok && w == p
		}
		if wanted {
			there[p] = true
		} else if err := netlink.RouteDel(&have[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("removing route to %s: %w", have[i].Dst, err)
		}
	}
	for _, p := range plan.Peers {
		if there[p] {
			continue
		}
		link, near, err := neighbour(p.Via)
		if err != nil || !near {
			n.o.Log.Warn("no route to a node's pods: the node is not on a directly connected network", "podCIDR", p.CIDR, "node", p.Via, "err", err)
			continue
		}
		if err := netlink.RouteReplace(p.route(link)); err != nil {
			return fmt.Errorf("adding route to %s by %s: %w", p.CIDR, p.Via, err)
		}
	}
	return nil
}

func (p Peer) route(link int) *netlink.Route {
	return &netlink.Route{Dst: &net.IPNet{IP: p.CIDR.Addr().AsSlice(), Mask: net.CIDRMask(p.CIDR.Bits(), p.CIDR.Addr().BitLen())},
		Gw: p.Via.AsSlice(), LinkIndex: link, Protocol: routeOrigin}
}

func peerOf(r *netlink.Route) (p Peer, ok bool) {
	if r.Dst == nil || r.Gw == nil {
		return p, false
	}
	ip, _ := netip.AddrFromSlice(r.Dst.IP)
	gw, _ := netip.AddrFromSlice(r.Gw)
	bits, _ := r.Dst.Mask.Size()
	return Peer{netip.PrefixFrom(ip.Unmap(), bits), gw.Unmap()}, true
}

// neighbour finds the link that an address is directly connected by.
func neighbour(a netip.Addr) (link int, near bool, err error) {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 {
		return 0, false, err
	}
	return routes[0].LinkIndex, routes[0].Gw == nil && routes[0].Type != unix.RTN_LOCAL, nil
}
