package network

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"

	"hyperkube/network/bridge"
	"hyperkube/network/cni"
	"hyperkube/network/ipam"
)

// grace is how long an address may be held without a link: the plugin takes the
// address first.
const grace = time.Minute

// leaks remembers when held addresses have to be looked at again.
type leaks struct {
	checked bool
	again   time.Time
}

// next is how long until there is something to check; 0: nothing.
func (l *leaks) next(now time.Time) time.Duration {
	if l.again.IsZero() {
		return 0
	}
	return max(l.again.Sub(now), time.Millisecond)
}

// freeLeaked frees, once after a start, the addresses of pods that are gone. A pod's
// link is gone when its namespace is, so a held address without a link is leaked:
// the machine or the container runtime went down before it could say DEL.
func (n *Network) freeLeaked(_ context.Context, _ Plan) error {
	now := time.Now()
	if n.leaks.checked && (n.leaks.again.IsZero() || now.Before(n.leaks.again)) {
		return nil
	}
	dir := cni.AddressDir(n.o.StateDir)
	pool, err := ipam.Open(dir)
	if err != nil {
		return err
	}
	defer pool.Close()
	held, err := pool.Held()
	if err != nil {
		return err
	}
	n.leaks = leaks{checked: true}
	var leaked []netip.Addr
	for a, o := range held {
		_, err := netlink.LinkByName(bridge.PortName(o.Container, o.Interface))
		var missing netlink.LinkNotFoundError
		if !errors.As(err, &missing) {
			continue
		}
		st, err := os.Lstat(filepath.Join(dir, "ips", a.String()))
		if err == nil && now.Sub(st.ModTime()) < grace {
			n.leaks.again = now.Add(grace)
			continue
		}
		leaked = append(leaked, a)
	}
	if len(leaked) > 0 {
		n.o.Log.Info("freeing addresses of pods that are gone", "count", len(leaked))
	}
	return pool.Release(leaked...)
}
