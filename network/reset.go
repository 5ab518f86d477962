package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/internal/nft"
	"hyperkube/network/bridge"
)

// Reset removes everything that the agent and the plugin made: configuration, tables,
// links, routes and state, and puts sysctls back. Pods must be gone. It goes on after
// an error and may be repeated.
func Reset(_ context.Context, o Options) error {
	o = o.withDefaults()
	errs := []error{removeFile(filepath.Join(o.ConfDir, ConfName))}
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		k, err := nft.Open(nft.Table{Family: f, Name: o.Table})
		if err == nil {
			err = errors.Join(k.Delete(), k.Close())
		}
		errs = append(errs, err)
	}
	errs = append(errs, removeRoutes(), removeLinks(o.Bridge))
	if o.StateDir != "" {
		errs = append(errs, restoreSysctls(filepath.Join(o.StateDir, "sysctls.json")))
		if errors.Join(errs...) == nil {
			errs = append(errs, os.RemoveAll(o.StateDir))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing the pod network: %w", err)
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func removeRoutes() error {
	routes, err := dump.Routes(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeOrigin}, netlink.RT_FILTER_PROTOCOL)
	for i := range routes {
		if e := netlink.RouteDel(&routes[i]); e != nil && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func removeLinks(br string) error {
	links, err := dump.Links()
	for _, l := range links {
		name := l.Attrs().Name
		ours := strings.HasPrefix(name, bridge.PortPrefix) && l.Type() == "veth" || name == br && l.Type() == "bridge"
		if !ours {
			continue
		}
		if e := netlink.LinkDel(l); e != nil && !errors.Is(e, unix.ENODEV) {
			err = errors.Join(err, fmt.Errorf("link %s: %w", name, e))
		}
	}
	return err
}

func restoreSysctls(file string) error {
	before, err := readSysctls(file)
	for path, value := range before {
		if _, e := bridge.Sysctl(path, value); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}
