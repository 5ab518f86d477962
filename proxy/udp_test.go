package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/netns"
	"hyperkube/kit"
)

func dialUDP(ns *netns.NS, addr string) (c net.Conn, err error) {
	err = ns.Do(func() error { c, err = net.Dial("udp", addr); return err })
	return c, err
}

func expect(c net.Conn, want string) error {
	if err := c.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err == nil && string(b[:n]) != want {
		err = fmt.Errorf("answered by %s", b[:n])
	}
	return err
}

// TestUDPAfterRestart: flows whose endpoint went while no proxy ran follow the service, too;
// what goes elsewhere by the same port numbers is let alone.
func TestUDPAfterRestart(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	svc := service("dns", "10.32.0.10", 53, udp, nodePort(30053))
	l.add(svc, 8000, "10.88.0.2")
	l.start()
	var flows []net.Conn
	for _, addr := range []string{"10.32.0.10:53", labGateway + ":30053"} {
		c, err := dialUDP(client, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l.eventually("the first endpoint by "+addr, func() error { return expect(c, "10.88.0.2") })
		flows = append(flows, c)
	}
	l.stop()
	l.endpoints(svc, 8000, "10.88.0.3")
	l.start()
	for _, c := range flows {
		l.eventually("the second endpoint by "+c.RemoteAddr().String(), func() error { return expect(c, "10.88.0.3") })
	}
}

// TestFlowsOfAnEarlierProxy: which flows are stale though nobody saw their endpoint go.
func TestFlowsOfAnEarlierProxy(t *testing.T) {
	ip, to := netip.MustParseAddr, netip.MustParseAddrPort
	s := &staleFlows{known: map[kit.Key][]Port{
		{Namespace: "a", Name: "dns"}: {{Proto: unix.IPPROTO_UDP, Port: 53, NodePort: 30053, ClusterIPs: []netip.Addr{ip("10.32.0.10")}, All: []netip.AddrPort{to("10.88.0.3:53")}}},
		{Namespace: "a", Name: "off"}: {{Proto: unix.IPPROTO_UDP, Port: 53, ClusterIPs: []netip.Addr{ip("10.32.0.11")}}},
	}}
	f := newFlowFilter(nil)
	f.compare(s.known)
	for name, tc := range map[string]struct {
		dst, to string
		stale   bool
	}{
		"to an endpoint":                      {"10.32.0.10:53", "10.88.0.3:53", false},
		"to none":                             {"10.32.0.10:53", "10.88.0.2:53", true},
		"to a former port":                    {"10.32.0.10:53", "10.88.0.3:54", true},
		"not translated":                      {"10.32.0.10:53", "10.32.0.10:53", true},
		"no endpoints to go to":               {"10.32.0.11:53", "10.88.0.2:53", false},
		"node port, to an endpoint":           {"192.0.2.1:30053", "10.88.0.3:53", false},
		"node port, to none":                  {"192.0.2.1:30053", "10.88.0.2:53", true},
		"the node port's number, elsewhere":   {"8.8.8.8:30053", "8.8.8.8:30053", false},
		"the service's port, elsewhere":       {"8.8.8.8:53", "8.8.8.8:53", false},
		"the service's port, somebody else's": {"192.0.2.1:53", "172.17.0.2:53", false},
	} {
		dst, src := to(tc.dst), to(tc.to)
		flow := &netlink.ConntrackFlow{Forward: netlink.IPTuple{Protocol: unix.IPPROTO_UDP, DstIP: dst.Addr().AsSlice(), DstPort: dst.Port()},
			Reverse: netlink.IPTuple{Protocol: unix.IPPROTO_UDP, SrcIP: src.Addr().AsSlice(), SrcPort: src.Port()}}
		if got := f.MatchConntrackFlow(flow); got != tc.stale {
			t.Errorf("%s: stale %v, want %v", name, got, tc.stale)
		}
	}
}

// TestStaleFlowsAreTriedAgain: what could not be cleaned is, though nothing changes any more.
func TestStaleFlowsAreTriedAgain(t *testing.T) {
	l := newLab(t)
	l.serve(8000, "10.88.0.2")
	l.add(service("dns", "10.32.0.10", 53, udp), 8000, "10.88.0.2")
	p := l.prepare()
	works, can, good := p.stale.remove, atomic.Bool{}, atomic.Bool{}
	p.stale.remove = func(f netlink.InetFamily, filter netlink.CustomConntrackFilter) error {
		if !can.Load() {
			return errors.New("no memory")
		}
		err := works(f, filter)
		good.Store(err == nil)
		return err
	}
	l.run(p)
	var last time.Time
	l.eventually("quiet", func() error {
		before := last
		if last = p.health.lastSync(); last.IsZero() || !last.Equal(before) || time.Since(last) < 200*time.Millisecond {
			return errors.New("there is something to do")
		}
		return nil
	})
	can.Store(true)
	l.eventually("another attempt", func() error {
		if !good.Load() {
			return errors.New("flows are not clean")
		}
		return nil
	})
}
