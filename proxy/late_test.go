package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLatePacketsResetNobody: a packet of an endpoint that is far outside of the connection's
// window reaches no client untranslated, who would answer it with a reset of the connection.
func TestLatePacketsResetNobody(t *testing.T) {
	l := newLab(t)
	server, client := l.pod("10.88.0.2"), l.pod("10.88.0.9")
	l.add(service("web", "10.32.0.10", 80), 9000, "10.88.0.2")
	l.start()
	var sniff int
	var listener net.Listener
	l.in(server, func() (err error) {
		if sniff, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP); err == nil {
			listener, err = net.Listen("tcp4", ":9000")
		}
		return err
	})
	defer unix.Close(sniff)
	defer listener.Close()
	var c net.Conn
	l.in(client, func() (err error) { c, err = net.DialTimeout("tcp", "10.32.0.10:80", 5*time.Second); return err })
	defer c.Close()
	s, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	exchange := func(from, to net.Conn, text string) {
		t.Helper()
		b := make([]byte, len(text))
		deadline := time.Now().Add(5 * time.Second)
		err := errors.Join(from.SetDeadline(deadline), to.SetDeadline(deadline))
		if err == nil {
			_, err = from.Write([]byte(text))
		}
		if err == nil {
			_, err = to.Read(b)
		}
		if err != nil || string(b) != text {
			t.Fatalf("the connection does not go on: %q, %v", b, err)
		}
	}
	exchange(c, s, "hi")
	if err := late(sniff, uint16(s.RemoteAddr().(*net.TCPAddr).Port)); err != nil {
		t.Fatal(err)
	}
	seen := false
	for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); { // the time that a reset would take
		exchange(c, s, "more")
		exchange(s, c, "yes")
		seen = true
	}
	if !seen {
		t.Error("nothing was exchanged")
	}
}

// late waits for the client's two bytes and answers with a segment that acknowledges them and
// is a gigabyte too far on.
func late(raw int, client uint16) error {
	if err := unix.SetsockoptTimeval(raw, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	b := make([]byte, 2000)
	for {
		n, _, err := unix.Recvfrom(raw, b, 0)
		if err != nil {
			return fmt.Errorf("the client's segment is not seen: %w", err)
		}
		p := b[:n]
		if n < 40 || binary.BigEndian.Uint16(p[20:]) != client || !strings.HasSuffix(string(p), "hi") {
			continue
		}
		seq, ack := binary.BigEndian.Uint32(p[24:]), binary.BigEndian.Uint32(p[28:])
		seg := binary.BigEndian.AppendUint16(nil, 9000)
		seg = binary.BigEndian.AppendUint16(seg, client)
		seg = binary.BigEndian.AppendUint32(seg, ack+1<<30)
		seg = binary.BigEndian.AppendUint32(seg, seq+2)
		seg = append(seg, 5<<4, 0x18, 0x10, 0, 0, 0, 0, 0, 'l', 'a', 't', 'e') // ACK, PSH
		binary.BigEndian.PutUint16(seg[16:], checksum(append([]byte{10, 88, 0, 2, 10, 88, 0, 9, 0, 6, 0, byte(len(seg))}, seg...)))
		for range 3 {
			if err := unix.Sendto(raw, seg, 0, &unix.SockaddrInet4{Addr: [4]byte{10, 88, 0, 9}}); err != nil {
				return err
			}
		}
		return nil
	}
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
