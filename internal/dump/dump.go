// Package dump asks the kernel for lists (links, addresses, routes, flows) until one was
// taken whole. The kernel sends a list in pieces and marks it when what it lists changed
// in between: such a list may lack what is there, so it is never used. On a busy node,
// where interfaces come and go all the time, that is common and no fault.
package dump

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/vishvananda/netlink"
)

// Tries bounds how often a list is asked for, pauses between them grow to longestPause:
// about two seconds in all.
const (
	Tries        = 30
	firstPause   = time.Millisecond
	longestPause = 100 * time.Millisecond
)

// Whole calls list until its answer was not interrupted, and returns that answer or
// another error. After Tries interruptions it gives up with netlink.ErrDumpInterrupted
// and no answer.
func Whole[T any](list func() (T, error)) (T, error) { return whole(list, time.Sleep) }

func whole[T any](list func() (T, error), wait func(time.Duration)) (T, error) {
	pause := firstPause
	for try := 1; ; try++ {
		got, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return got, err
		}
		if try == Tries {
			var none T
			return none, fmt.Errorf("changed during each of %d readings: %w", Tries, err)
		}
		wait(pause/2 + rand.N(pause)) // not in step with what changes it
		pause = min(2*pause, longestPause)
	}
}

// Links are the links of the calling thread's namespace.
func Links() ([]netlink.Link, error) { return Whole(netlink.LinkList) }

// Link is the link of a name; netlink.LinkNotFoundError if there is none. Old kernels know
// no lookup by name, so this may be a list as well.
func Link(name string) (netlink.Link, error) {
	return Whole(func() (netlink.Link, error) { return netlink.LinkByName(name) })
}

// Addrs are the addresses of a link.
func Addrs(link netlink.Link, family int) ([]netlink.Addr, error) {
	return Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, family) })
}

// Neighbours are what a link knows of link addresses.
func Neighbours(link netlink.Link, family int) ([]netlink.Neigh, error) {
	return Whole(func() ([]netlink.Neigh, error) { return netlink.NeighList(link.Attrs().Index, family) })
}

// Routes are the routes of a family that match filter in the fields that mask names
// (netlink.RT_FILTER_*); filter may be nil.
func Routes(family int, filter *netlink.Route, mask uint64) ([]netlink.Route, error) {
	if filter == nil {
		filter = &netlink.Route{}
	}
	return Whole(func() ([]netlink.Route, error) { return netlink.RouteListFiltered(family, filter, mask) })
}
