package network

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/netns"
	"hyperkube/network/bridge"
)

// claim sends ARP answers from a pod that say that from is at mac, as CAP_NET_RAW allows.
func claim(t *testing.T, pod *netns.NS, mac net.HardwareAddr, from string, toMAC net.HardwareAddr, to string) {
	t.Helper()
	in(t, pod, func() error {
		const arp = 0x0608 // ETH_P_ARP in network order
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, arp)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		frame := bytes.Join([][]byte{toMAC, mac, {8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, mac, net.ParseIP(from).To4(), toMAC, net.ParseIP(to).To4(), make([]byte, 18)}, nil)
		for range 20 {
			if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6, Protocol: arp}); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	})
}

// TestNobodyTakesAnothersAddress: a pod says that it is the gateway, another pod, or has
// another's link address; also to pods whose link was healed.
func TestNobodyTakesAnothersAddress(t *testing.T) {
	a := startAgent(t, nil, nil)
	thief, victim := namespace(t), namespace(t)
	thiefIP, ip := join(t, a.ns, thief, a.o, "a"), join(t, a.ns, victim, a.o, "b")
	tellCaller(t, victim)
	of := func(s string) net.HardwareAddr { return bridge.HardwareAddr(netip.MustParseAddr(s)) }
	known := func(ns *netns.NS, link, who string) {
		t.Helper()
		in(t, ns, func() error {
			l, err := netlink.LinkByName(link)
			if err != nil {
				return err
			}
			list, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_V4)
			if err != nil {
				return err
			}
			for _, n := range list {
				if n.IP.String() == who && n.HardwareAddr.String() != of(who).String() {
					t.Errorf("%s is taken to be at %s", who, n.HardwareAddr)
				}
			}
			return nil
		})
	}
	attack := func() {
		t.Helper()
		eventually(t, "the victim's answer", func() error { return a.answers(ip) })
		claim(t, thief, of(thiefIP), gate, of(ip), ip)
		known(victim, "eth0", gate)
		claim(t, thief, of(thiefIP), ip, of(gate), gate)
		known(a.ns, DefaultBridge, ip)
		claim(t, thief, of(ip), ip, of(gate), gate) // the bridge would learn where the victim is
		if err := a.answers(ip); err != nil {
			t.Errorf("after another pod used its link address: %v", err)
		}
	}
	attack()
	in(t, a.ns, func() error {
		l, err := netlink.LinkByName(DefaultBridge)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	eventually(t, "the bridge made anew", func() error { return a.answers(ip) })
	attack()
}
