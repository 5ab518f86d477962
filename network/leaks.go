package network

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/dump"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
	"hyperkube/network/ipam"
)

const (
	// grace is how long an address may be held without a link or a sandbox: the
	// plugin takes the address first, and the runtime notes a sandbox last.
	grace = 20 * time.Second
	// lookAgain is how often leaks are looked for where the runtime can be asked:
	// it may have been killed alone, without this process being told.
	lookAgain = 5 * time.Minute
)

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

// freeLeaked frees the addresses of pods that are gone: after a start, and later
// when something was too young to tell. A pod's link is gone when its namespace is,
// so a held address without a link is leaked: the machine went down before the
// runtime could say DEL. An address and link whose sandbox the runtime does not
// know are leaked too: the runtime was killed between ADD and its own note.
func (n *Network) freeLeaked(ctx context.Context, _ Plan) error {
	now := time.Now()
	if n.leaks.checked && (n.leaks.again.IsZero() || now.Before(n.leaks.again)) {
		return nil
	}
	var known map[string]bool
	if n.o.Sandboxes != nil {
		var err error
		if known, err = n.o.Sandboxes(ctx); err != nil {
			return err
		}
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
	if known != nil {
		n.leaks.again = now.Add(lookAgain)
	}
	var leaked []netip.Addr
	for a, o := range held {
		linked, err := hasLink(o)
		if err != nil || linked && (known == nil || known[o.Container]) {
			continue
		}
		st, err := os.Lstat(filepath.Join(dir, "ips", a.String()))
		if err == nil && now.Sub(st.ModTime()) < grace {
			n.leaks.again = now.Add(grace)
			continue
		}
		if err := bridge.Detach(bridge.PortName(o.Container, o.Interface)); err != nil {
			return err
		}
		leaked = append(leaked, a)
	}
	if len(leaked) > 0 {
		n.o.Log.Info("freeing addresses of pods that are gone", "count", len(leaked))
	}
	return pool.Release(leaked...)
}

func hasLink(o ipam.Owner) (bool, error) {
	_, err := dump.Link(bridge.PortName(o.Container, o.Interface))
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	return err == nil, err
}
