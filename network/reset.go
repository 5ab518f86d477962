package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/internal/netns"
	"hyperkube/internal/nft"
	"hyperkube/internal/regular"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
)

// Reset removes everything that the agent and the plugin made: configuration, tables,
// links, routes and state, and puts sysctls back. Pods must be gone. It goes on after
// an error and may be repeated.
func Reset(_ context.Context, o Options) error {
	o = o.withDefaults()
	errs := []error{removeConf(o)}
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6, nft.Netdev} {
		k, err := nft.Open(nft.Table{Family: f, Name: o.Table})
		if err == nil {
			err = errors.Join(k.Delete(), k.Close())
		}
		errs = append(errs, err)
	}
	errs = append(errs, removeRoutes(o), removeLinks(o), removeNetns(o))
	if o.StateDir != "" {
		errs = append(errs, restoreSysctls(filepath.Join(o.StateDir, "sysctls.json"), o.Log))
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

// removeConf removes the configuration if it is ours: another cluster's may have the place.
func removeConf(o Options) error {
	path := filepath.Join(o.ConfDir, ConfName)
	raw, err := regular.ReadFile(path)
	if err == nil && o.StateDir != "" && !namesStateDir(raw, o.StateDir) {
		return nil
	}
	return removeFile(path)
}

// namesStateDir reports whether a configuration is of the plugin with this state directory,
// or cannot be read at all.
func namesStateDir(raw []byte, stateDir string) bool {
	var list struct {
		Plugins []struct{ StateDir string }
	}
	if json.Unmarshal(raw, &list) != nil || len(list.Plugins) == 0 {
		return true
	}
	return list.Plugins[0].StateDir == stateDir
}

// removeNetns removes the files of our sandboxes' network namespaces, which a runtime that
// was killed left.
func removeNetns(o Options) error {
	if o.StateDir == "" {
		return nil
	}
	paths, err := ourNetns(o)
	for _, p := range paths {
		err = errors.Join(err, netns.Remove(p))
	}
	return err
}

func removeRoutes(o Options) error {
	routes, err := o.ourRoutes()
	for i := range routes {
		if e := netlink.RouteDel(&routes[i]); e != nil && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// removeLinks removes the bridge, what is joined to it, and the links that the plugin
// noted; another cluster's links have names like ours.
func removeLinks(o Options) error {
	noted, err := cni.State{Dir: o.StateDir}.Links()
	if err != nil {
		return err
	}
	links, err := dump.Links()
	br := 0
	for _, l := range links {
		if l.Attrs().Name == o.Bridge && l.Type() == "bridge" {
			br = l.Attrs().Index
		}
	}
	for _, l := range links {
		name := l.Attrs().Name
		_, ours := noted[name]
		ours = ours || br != 0 && l.Attrs().MasterIndex == br
		ours = ours && strings.HasPrefix(name, bridge.PortPrefix) && l.Type() == "veth" || br != 0 && l.Attrs().Index == br
		if !ours {
			continue
		}
		if e := netlink.LinkDel(l); e != nil && !errors.Is(e, unix.ENODEV) {
			err = errors.Join(err, fmt.Errorf("link %s: %w", name, e))
		}
	}
	return err
}

func restoreSysctls(file string, log *slog.Logger) error {
	before, err := readSysctls(file, log)
	for path, value := range before {
		if _, e := bridge.Sysctl(path, value); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}
