package network

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/internal/nft"
	"hyperkube/internal/regular"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
	"hyperkube/network/rules"
)

// routeOrigin marks our routes (the "proto" that `ip route` shows).
const routeOrigin netlink.RouteProtocol = 0x4b

func (n *Network) sysctlFile() string { return filepath.Join(n.o.StateDir, "sysctls.json") }

// setSysctls remembers what was there before it changes anything.
func (n *Network) setSysctls(plan Plan) error {
	before, err := readSysctls(n.sysctlFile(), n.o.Log)
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

func readSysctls(file string, log *slog.Logger) (map[string]string, error) {
	out := map[string]string{}
	_, err := readNotes(file, &out, log)
	if err != nil {
		return nil, fmt.Errorf("reading saved sysctls: %w", err)
	}
	if out == nil { // "null" is well-formed
		out = map[string]string{}
	}
	return out, nil
}

// readNotes reads what we noted for ourselves; false: there is nothing. A damaged file, as a
// power cut or a full disk leaves it, is set aside and told: it will never be well again, and
// neither a node without a network nor a reset that cannot end helps anybody.
func readNotes(file string, to any, log *slog.Logger) (bool, error) {
	raw, err := regular.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil && !errors.Is(err, regular.ErrIrregular) {
		return false, err
	}
	damage := err
	if err == nil {
		damage = json.Unmarshal(raw, to)
	}
	if damage == nil {
		return true, nil
	}
	aside := file + ".damaged"
	if err := os.Rename(file, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("setting %s aside, which is damaged (%w): %w", file, damage, err)
	}
	log.Warn("what was noted in a file is lost, it is damaged; it is set aside and made anew", "file", aside, "err", damage)
	return false, nil
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
	if have, e := regular.ReadFile(path); e != nil || string(have) != string(want) {
		if n.isReady() {
			n.o.Log.Info("the CNI configuration was changed or is gone; writing it anew", "path", path)
		}
		err = writeFile(path, want, 0o644)
	}
	if err != nil {
		return err
	}
	// The directory may be another one now. Between the check above and this nobody is told
	// of a change, so what is there is looked at once more.
	if err := n.conf.Add(n.o.ConfDir); err != nil {
		n.blind = true
		n.watching.Failed(err)
		return nil
	}
	n.blind = false
	n.watching.Well()
	if have, e := regular.ReadFile(path); e != nil || string(have) != string(want) {
		n.poke()
	}
	return nil
}

func (n *Network) putHostPorts(d *nft.Desired, f nft.Family) error {
	ports, err := cni.ReadPorts(n.o.StateDir)
	if err != nil {
		return err
	}
	refused := map[string]bool{}
	for i := range ports {
		d.Put(ports[i].Key(), &nft.Fragment{Elements: ports[i].Elements(f, n.o.ReservedPorts)})
		for _, p := range rules.Refused(ports[i].Ports, n.o.ReservedPorts) {
			what := fmt.Sprintf("%s %s/%d", ports[i].Owner.Container, p.Protocol, p.HostPort)
			if refused[what] = true; !n.refused[what] {
				n.o.Log.Warn("a pod's host port is one of the node's own; it is left out", "container", ports[i].Owner.Container, "protocol", p.Protocol, "port", p.HostPort)
			}
		}
	}
	n.refused = refused
	return nil
}

// routesFile remembers the routes that are ours: another cluster on the same host marks
// its own in the same way.
func routesFile(stateDir string) string { return filepath.Join(stateDir, "routes.json") }

// readRoutes returns what is remembered; false: nothing was ever, or it is lost.
func readRoutes(stateDir string, log *slog.Logger) ([]Peer, bool, error) {
	var out []Peer
	ever, err := readNotes(routesFile(stateDir), &out, log)
	if err != nil {
		return nil, false, fmt.Errorf("reading saved routes: %w", err)
	}
	if !ever {
		return nil, false, nil
	}
	return out, true, nil
}

// rememberRoutes notes what we are about to add besides what we have.
func (n *Network) rememberRoutes(ours map[Peer]bool) error {
	list := slices.SortedFunc(maps.Keys(ours), func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.CIDR.String(), b.CIDR.String()), a.Via.Compare(b.Via))
	})
	raw, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encoding routes: %w", err)
	}
	if have, err := regular.ReadFile(routesFile(n.o.StateDir)); err == nil && string(have) == string(raw) {
		return nil
	}
	return writeFile(routesFile(n.o.StateDir), raw, 0o600)
}

// ourRoutes are the routes in the kernel that we made. A version that did not remember
// them, and one whose notes are lost, marked them: those within the cluster's ranges are taken for ours.
func (o Options) ourRoutes() ([]netlink.Route, error) {
	marked, err := dump.Routes(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeOrigin}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	noted, ever, err := readRoutes(o.StateDir, o.Log)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(marked, func(r netlink.Route) bool {
		p, ok := peerOf(&r)
		if ever {
			return !ok || !slices.Contains(noted, p)
		}
		return !ok || !slices.ContainsFunc(o.ClusterCIDRs, func(c netip.Prefix) bool { return c.Overlaps(p.CIDR) })
	}), nil
}

// ensureRoutes points to other nodes' ranges where they are neighbours, and removes
// our routes to what is no node's range any more.
func (n *Network) ensureRoutes(plan Plan, br netlink.Link) error {
	have, err := n.o.ourRoutes()
	if err != nil {
		return err
	}
	services, err := n.o.serviceRoutes()
	if err != nil {
		return err
	}
	plan.Peers = slices.Concat(plan.Peers, services)
	wanted := map[Peer]bool{}
	for _, p := range plan.Peers {
		wanted[p] = true
	}
	ours := maps.Clone(wanted)
	for i := range have {
		if p, ok := peerOf(&have[i]); ok {
			ours[p] = true
		}
	}
	if err := n.rememberRoutes(ours); err != nil {
		return err
	}
	there := map[Peer]bool{}
	for i := range have {
		if p, ok := peerOf(&have[i]); ok && wanted[p] {
			there[p] = true
		} else if err := netlink.RouteDel(&have[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("removing route to %s: %w", have[i].Dst, err)
		}
	}
	far := map[Peer]bool{}
	defer func() { n.far = far }()
	for _, p := range plan.Peers {
		if there[p] {
			continue
		}
		if !p.Via.IsValid() {
			if err := netlink.RouteReplace(p.route(br.Attrs().Index)); err != nil {
				return fmt.Errorf("adding route to %s: %w", p.CIDR, err)
			}
			continue
		}
		link, near, err := neighbour(p.Via)
		if err != nil || !near {
			if far[p] = true; !n.far[p] {
				n.o.Log.Warn("no route to a node's pods: the node is not on a directly connected network", "podCIDR", p.CIDR, "node", p.Via, "err", err)
			}
			continue
		}
		if err := netlink.RouteReplace(p.route(link)); err != nil {
			return fmt.Errorf("adding route to %s by %s: %w", p.CIDR, p.Via, err)
		}
	}
	return nil
}

func (p Peer) route(link int) *netlink.Route {
	r := &netlink.Route{Dst: &net.IPNet{IP: p.CIDR.Addr().AsSlice(), Mask: net.CIDRMask(p.CIDR.Bits(), p.CIDR.Addr().BitLen())},
		LinkIndex: link, Protocol: routeOrigin}
	if p.Via.IsValid() {
		r.Gw = p.Via.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

// serviceRoutes are routes to the services' ranges by the bridge, for families without a
// default route. A packet is routed before the rules give it a real destination, so without
// any route it would be refused; no packet is sent by this one as it is.
func (o Options) serviceRoutes() ([]Peer, error) {
	var out []Peer
	for _, c := range o.ServiceCIDRs {
		family := netlink.FAMILY_V4
		if c.Addr().Is6() {
			family = netlink.FAMILY_V6
		}
		ways, err := defaultRoutes(family)
		if err != nil {
			return nil, err
		}
		if len(ways) == 0 {
			out = append(out, Peer{CIDR: c.Masked()})
		}
	}
	return out, nil
}

func peerOf(r *netlink.Route) (p Peer, ok bool) {
	if r.Dst == nil {
		return p, false
	}
	ip, _ := netip.AddrFromSlice(r.Dst.IP)
	gw, _ := netip.AddrFromSlice(r.Gw) // invalid: by the bridge
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
