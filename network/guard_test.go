package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/netns"
	"hyperkube/internal/nft"
	"hyperkube/network/bridge"
)

const gate = "10.77.3.1"

// inject sends frames by a pod's interface, as CAP_NET_RAW allows.
func inject(t *testing.T, pod *netns.NS, frames ...[]byte) {
	t.Helper()
	in(t, pod, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6}); err != nil {
				return err
			}
		}
		return nil
	})
}

func macOf(ip string) net.HardwareAddr { return bridge.HardwareAddr(netip.MustParseAddr(ip)) }

func checksum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for b := bytes.Join(parts, nil); len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// datagram is UDP over IPv4 to port 5555, from whomever.
func datagram(mac net.HardwareAddr, from, toMAC, to, text string) []byte {
	if len(text)%2 != 0 {
		text += " "
	}
	udp := append([]byte{0x11, 0x5c, 0x15, 0xb3, 0, byte(8 + len(text)), 0, 0}, text...)
	ip := append([]byte{0x45, 0, 0, byte(20 + len(udp)), 0, 1, 0, 0, 64, 17, 0, 0}, append(net.ParseIP(from).To4(), net.ParseIP(to).To4()...)...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return bytes.Join([][]byte{macOf(toMAC), mac, {8, 0}, ip, udp}, nil)
}

// advertisement is what an IPv6 router says to all, with a prefix.
func advertisement(mac net.HardwareAddr) []byte {
	from := net.IP{0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
	to := net.ParseIP("ff02::1")
	body := append([]byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, mac...)
	body = append(body, 3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	body = append(body, net.ParseIP("2001:db8:bad::")...)
	binary.BigEndian.PutUint16(body[2:], checksum(from, to, []byte{0, 0, 0, byte(len(body)), 0, 0, 0, 58}, body))
	head := append([]byte{0x60, 0, 0, 0, 0, byte(len(body)), 58, 255}, append(from, to...)...)
	return bytes.Join([][]byte{{0x33, 0x33, 0, 0, 0, 1}, mac, {0x86, 0xdd}, head, body}, nil)
}

// hear listens for datagrams to port 5555.
func hear(t *testing.T, ns *netns.NS) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	in(t, ns, func() (err error) { c, err = net.ListenPacket("udp4", ":5555"); return err })
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// hello is what a pod says until its link is up, which takes the kernel some moments.
const hello = "hello"

// firstHeard is the first that arrives, but for greetings.
func firstHeard(c net.PacketConn, patience time.Duration) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	for {
		n, _, err := c.ReadFrom(buf)
		if text := string(bytes.TrimSpace(buf[:n])); err != nil || text != hello {
			return text, err
		}
	}
}

// greeted waits until what a pod sends is heard.
func greeted(t *testing.T, pod *netns.NS, c net.PacketConn, frame []byte) {
	t.Helper()
	eventually(t, "a pod's greeting", func() error {
		inject(t, pod, frame)
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		_, _, err := c.ReadFrom(make([]byte, 100))
		return err
	})
}

// believesRouter reports whether a namespace took an announced IPv6 router or prefix.
func believesRouter(t *testing.T, ns *netns.NS) (yes bool) {
	t.Helper()
	in(t, ns, func() error {
		routes, err := netlink.RouteList(nil, netlink.FAMILY_V6)
		for _, r := range routes {
			if r.Protocol == unix.RTPROT_RA || r.Dst != nil && r.Dst.String() == "2001:db8:bad::/64" {
				yes = true
			}
		}
		return err
	})
	return yes
}

// TestPodsSpeakForThemselves: what a pod sends in another's name, or as a router, reaches
// nobody; also when somebody removed the guards, once they are mended.
func TestPodsSpeakForThemselves(t *testing.T) {
	a := startAgent(t, nil, nil)
	in(t, a.ns, uplink)
	thief, victim := namespace(t), namespace(t)
	mine, ip := join(t, a.ns, thief, a.o, "a"), join(t, a.ns, victim, a.o, "b")
	node, other := hear(t, a.ns), hear(t, victim)
	attack := func() {
		t.Helper()
		greeted(t, thief, node, datagram(macOf(mine), mine, gate, gate, hello))
		greeted(t, thief, other, datagram(macOf(mine), mine, gate, ip, hello))
		var frames [][]byte
		for _, from := range []string{ip, "10.77.3.99", "192.168.7.2", "127.0.0.2", "8.8.8.8", "10.77.9.9"} {
			frames = append(frames, datagram(macOf(mine), from, gate, gate, from), datagram(macOf(mine), from, gate, ip, from),
				datagram(macOf(mine), from, ip, ip, from), datagram(macOf(from), from, gate, gate, from), datagram(macOf(from), from, ip, ip, from))
		}
		frames = append(frames, advertisement(macOf(mine)))
		// Frames by one link arrive in order: these tell that the others would have.
		frames = append(frames, datagram(macOf(mine), mine, gate, gate, "honest"), datagram(macOf(mine), mine, gate, ip, "honest"))
		inject(t, thief, frames...)
		for who, c := range map[string]net.PacketConn{"the node": node, "another pod": other} {
			if first, err := firstHeard(c, 5*time.Second); err != nil || first != "honest" {
				t.Errorf("%s hears the pod as %q, %v", who, first, err)
			}
		}
		if believesRouter(t, a.ns) || believesRouter(t, victim) {
			t.Error("a pod is taken for an IPv6 router")
		}
		claim(t, thief, macOf(mine), "10.77.3.99", macOf(gate), gate)
		in(t, a.ns, func() error {
			br, err := netlink.LinkByName(DefaultBridge)
			if err != nil {
				return err
			}
			list, err := netlink.NeighList(br.Attrs().Index, netlink.FAMILY_V4)
			for _, n := range list {
				if n.IP.String() == "10.77.3.99" && n.HardwareAddr != nil {
					t.Errorf("an address that nobody has is taken to be at %s", n.HardwareAddr)
				}
			}
			return err
		})
	}
	attack()
	var k *nft.Kernel
	in(t, a.ns, func() (err error) { k, err = nft.Open(nft.Table{Family: nft.Netdev, Name: DefaultTable}); return err })
	defer k.Close()
	if err := k.Delete(); err != nil {
		t.Fatal(err)
	}
	guarded := func(want int) {
		t.Helper()
		eventually(t, "the guards", func() error {
			have, err := k.Read()
			if err == nil && len(have.Chains) != want {
				err = fmt.Errorf("%d guards of %d", len(have.Chains), want)
			}
			return err
		})
	}
	guarded(2)
	attack()
	notes, err := filepath.Glob(filepath.Join(a.o.StateDir, "attachments", "*.json"))
	if err != nil || len(notes) != 2 {
		t.Fatal(notes, err)
	}
	whole := make([][]byte, len(notes))
	for i, note := range notes { // as a power cut leaves them
		if whole[i], err = os.ReadFile(note); err == nil {
			err = os.WriteFile(note, whole[i][:9], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	in(t, a.ns, func() error { // it is mended in the same look as guards are
		l, err := netlink.LinkByName(bridge.PortName("a", "eth0"))
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(l)
	})
	eventually(t, "a look", func() error {
		return a.ns.Do(func() error {
			l, err := netlink.LinkByName(bridge.PortName("a", "eth0"))
			if err == nil && l.Attrs().RawFlags&unix.IFF_UP == 0 {
				err = errors.New("still down")
			}
			return err
		})
	})
	guarded(2)
	for i, note := range notes {
		if err := os.WriteFile(note, whole[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, a.ns, thief.Path(), a.o, "a")
	guarded(1)
	in(t, a.ns, func() error { return bridge.Detach(bridge.PortName("b", "eth0")) }) // without the plugin
	guarded(0)
}

// TestNothingIsToldOfPodsThatWent: the bridge forgets who had an address, and what is sent to
// a link address that nobody has any more reaches no other pod.
func TestNothingIsToldOfPodsThatWent(t *testing.T) {
	a := startAgent(t, nil, nil)
	pod, other := namespace(t), namespace(t)
	ip := join(t, a.ns, pod, a.o, "a")
	kept := join(t, a.ns, other, a.o, "b")
	in(t, a.ns, func() error {
		l, err := netlink.LinkByName(bridge.PortName("b", "eth0"))
		if err != nil {
			return err
		}
		info, err := netlink.LinkGetProtinfo(l)
		if err == nil && info.Flood {
			err = errors.New("what is nobody's is sent to every pod")
		}
		return err
	})
	leave(t, a.ns, pod.Path(), a.o, "a")
	known := func() (out []netip.Addr) {
		t.Helper()
		in(t, a.ns, func() error {
			br, err := netlink.LinkByName(DefaultBridge)
			if err == nil {
				out, err = told(br)
			}
			return err
		})
		return out
	}
	if got := fmt.Sprint(known()); got != "["+kept+"]" {
		t.Errorf("after a pod at %s went, %s are known", ip, got)
	}
	in(t, a.ns, func() error { // as a killed plugin leaves it
		br, err := netlink.LinkByName(DefaultBridge)
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: br.Attrs().Index, IP: net.ParseIP("10.77.3.77"), State: netlink.NUD_PERMANENT, HardwareAddr: macOf("10.77.3.77")})
	})
	a.n.poke()
	eventually(t, "forgetting", func() error {
		if got := fmt.Sprint(known()); got != "["+kept+"]" {
			return fmt.Errorf("%s are known", got)
		}
		return nil
	})
}

func told(br netlink.Link) (out []netip.Addr, err error) {
	list, err := netlink.NeighList(br.Attrs().Index, netlink.FAMILY_ALL)
	for _, n := range list {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && n.State&netlink.NUD_PERMANENT != 0 && !ip.IsMulticast() && !ip.IsLinkLocalMulticast() {
			out = append(out, ip.Unmap())
		}
	}
	return out, err
}
