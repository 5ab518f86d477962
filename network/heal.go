package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/internal/netns"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
)

// repairPause is the least time between two repairs of one pod's own end: a pod with the
// right to do so may take its link down as often as we set it up.
const repairPause = 5 * time.Second

// lostAfter is how long a link is noted and gone before that is told.
const lostAfter = 5 * time.Second

// podInterface is the name that runtimes give a pod's link.
const podInterface = "eth0"

// portState is what is wrong with a pod's link, as seen from the node.
type portState struct {
	gone, left, down, podDown bool
}

// stateOf judges a link by its name among those that are there; it is pure.
func stateOf(link netlink.Link, br int) portState {
	if link == nil || link.Type() != "veth" {
		return portState{gone: true}
	}
	a := link.Attrs()
	up := a.RawFlags&unix.IFF_UP != 0
	return portState{left: a.MasterIndex != br, down: !up, podDown: up && a.RawFlags&unix.IFF_LOWER_UP == 0}
}

func (s portState) well() bool { return s == portState{} }

// healPorts mends the links of pods that are there: joins them to the bridge, sets both
// ends up, gives the pod's end its address and routes back. A link that is gone takes the
// pod's end with it and cannot be mended: that is told here; the kubelet, who can make the pod
// a new sandbox, looks for itself.
func (n *Network) healPorts(br netlink.Link) error {
	known, err := bridge.Known(br) // first: what is told of an address is noted before
	if err != nil {
		return err
	}
	ours, err := n.state().Links()
	if err != nil {
		return err
	}
	if err := forgetOthers(br, known, ours); err != nil {
		return err
	}
	links, err := dump.Links()
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	there := byName(links)
	lost, errs := map[string]bool{}, error(nil)
	n.healAgain = time.Time{}
	maps.DeleteFunc(n.joined, func(name string, _ bool) bool { _, is := ours[name]; return !is })
	for name, note := range ours {
		s := stateOf(there[name], br.Attrs().Index)
		if !s.gone && note != nil && !n.joined[name] { // by a version that did not note link addresses, perhaps
			s.left = true
		}
		if s.well() {
			continue
		}
		if busy, err := n.state().InFlight(name); err != nil || busy {
			errs = errors.Join(errs, err)
			continue
		}
		if s.gone {
			lost[name] = true
			continue
		}
		errs = errors.Join(errs, healHostEnd(there[name], br, s, note))
		if n.joined[name] = true; s.podDown && note != nil && n.mayRepair(name) {
			if err := n.repairPodEnd(note); err != nil { // the pod may have done anything in there
				n.o.Log.Warn("a pod's end of its link cannot be set up", "container", note.Owner.Container, "err", err)
			}
		}
	}
	n.tellLost(lost, ours)
	n.ensureGuards(ours, there)
	return errs
}

func byName(links []netlink.Link) map[string]netlink.Link {
	out := make(map[string]netlink.Link, len(links))
	for _, l := range links {
		out[l.Attrs().Name] = l
	}
	return out
}

// forgetOthers removes what the bridge was told of addresses that no pod has any more.
func forgetOthers(br netlink.Link, known []netip.Addr, ours map[string]*cni.Attachment) error {
	held := map[netip.Addr]bool{}
	for _, note := range ours {
		if note == nil { // by a version that did not note addresses, or damaged
			return nil
		}
		for _, a := range note.Addrs {
			held[a.Addr()] = true
		}
	}
	return bridge.Forget(br.Attrs().Index, slices.DeleteFunc(known, func(a netip.Addr) bool { return held[a] })...)
}

func healHostEnd(l, br netlink.Link, s portState, note *cni.Attachment) error {
	if s.left {
		var addrs []netip.Prefix
		if note != nil {
			addrs = note.Addrs
		}
		if err := bridge.Join(l, br, addrs); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	if s.down {
		if err := netlink.LinkSetUp(l); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("setting %s up: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// mayRepair keeps repairs of one link apart, and has the agent look again when it is time.
func (n *Network) mayRepair(name string) bool {
	now := time.Now()
	for other, at := range n.repaired {
		if now.Sub(at) >= repairPause {
			delete(n.repaired, other)
		}
	}
	if at, lately := n.repaired[name]; lately {
		if at = at.Add(repairPause); n.healAgain.IsZero() || at.Before(n.healAgain) {
			n.healAgain = at
		}
		return false
	}
	n.repaired[name] = now
	return true
}

func (n *Network) repairPodEnd(note *cni.Attachment) error {
	ns, err := netns.Open(note.Netns)
	if err != nil {
		return nil // its sandbox is being removed
	}
	defer ns.Close()
	n.o.Log.Info("a pod's end of its link is down; setting it up", "container", note.Owner.Container)
	return ns.Do(func() error { return bridge.Configure(note.Port()) })
}

// lostLink is a pod's link that is noted and not there.
type lostLink struct {
	since time.Time
	told  bool
}

// tellLost says once of each link that it is gone, when it has been for longer than the removal of a pod takes
// the plugin: it removes the link first and what is noted of it last.
func (n *Network) tellLost(lost map[string]bool, ours map[string]*cni.Attachment) {
	now, next, told := time.Now(), map[string]lostLink{}, 0
	for name := range lost {
		l, was := n.lost[name]
		if !was {
			l.since = now
		}
		if at := l.since.Add(lostAfter); !l.told && now.Before(at) {
			if n.healAgain.IsZero() || at.Before(n.healAgain) {
				n.healAgain = at
			}
		} else if !l.told {
			container := ""
			if a := ours[name]; a != nil {
				container = a.Owner.Container
			}
			n.o.Log.Warn("a pod's link is gone; the pod needs a new sandbox", "link", name, "container", container)
			l.told = true
		}
		if l.told {
			told++
		}
		next[name] = l
	}
	n.lost = next
	n.lostLinks.Set(float64(told))
}
