package network

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"

	"hyperkube/internal/netns"
	"hyperkube/network/cni"
)

// mapping is one host port as a runtime hands it over.
type mapping map[string]any

// joinMapped is join with host ports.
func joinMapped(t *testing.T, a *testAgent, pod *netns.NS, id string, ports ...mapping) (ip string) {
	t.Helper()
	in(t, a.ns, func() error {
		res, _, err := cni.Add(&skel.CmdArgs{ContainerID: id, IfName: "eth0", Netns: pod.Path(), StdinData: stdinWith(t, a.o, ports)})
		if err == nil {
			ip = res.IPs[0].Address.IP.String()
		}
		return err
	})
	return ip
}

// tellName answers whoever asks on TCP or UDP port 80 with a name.
func tellName(t *testing.T, ns *netns.NS, name string) {
	t.Helper()
	var l net.Listener
	var u net.PacketConn
	in(t, ns, func() (err error) { l, err = net.Listen("tcp", ":80"); return err })
	in(t, ns, func() (err error) { u, err = net.ListenPacket("udp", ":80"); return err })
	t.Cleanup(func() { _, _ = l.Close(), u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(name))
			_ = c.Close()
		}
	}()
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = u.WriteTo([]byte(name), from)
		}
	}()
}

// TestHostIPStandsForTheHostOnly: a host port at an address that is not the host's is not
// served; the address may be another pod's, a service's, or anybody's.
func TestHostIPStandsForTheHostOnly(t *testing.T) {
	a := startAgent(t, nil, nil)
	thief, victim, client := namespace(t), namespace(t), namespace(t)
	tellName(t, thief, "thief")
	tellName(t, victim, "victim")
	ip := join(t, a.ns, victim, a.o, "victim")
	join(t, a.ns, client, a.o, "client")
	joinMapped(t, a, thief, "thief",
		mapping{"hostIP": ip, "hostPort": 80, "containerPort": 80, "protocol": "TCP"},
		mapping{"hostIP": "10.77.3.1", "hostPort": 8080, "containerPort": 80, "protocol": "TCP"})
	for _, from := range []*netns.NS{client, a.ns} {
		if got := caller(t, from, ip+":80"); got != "victim" {
			t.Errorf("%s answers at a pod's address", got)
		}
	}
	if got := caller(t, client, "10.77.3.1:8080"); got != "thief" {
		t.Errorf("%q answers at a host port", got)
	}
}

// TestHostIPOfOldForms: an address with leading zeros, as validation lets it be, is that
// address and not all of the host's; one that cannot be read is none.
func TestHostIPOfOldForms(t *testing.T) {
	a := startAgent(t, nil, nil)
	pod, client := namespace(t), namespace(t)
	tellName(t, pod, "pod")
	join(t, a.ns, client, a.o, "client")
	joinMapped(t, a, pod, "pod",
		mapping{"hostIP": "127.0.0.01", "hostPort": 8081, "containerPort": 80, "protocol": "TCP"},
		mapping{"hostIP": "127.0.0.x", "hostPort": 8082, "containerPort": 80, "protocol": "TCP"},
		mapping{"hostIP": "010.077.003.001", "hostPort": 8083, "containerPort": 80, "protocol": "TCP"},
		mapping{"hostIP": "::ffff:10.77.3.1", "hostPort": 8084, "containerPort": 80, "protocol": "TCP"})
	for _, at := range []string{"10.77.3.1:8081", "10.77.3.1:8082"} {
		if got := answerAt(client, at); got != "" {
			t.Errorf("%q answers at %s, where no port is served", got, at)
		}
	}
	for _, at := range []string{"10.77.3.1:8083", "10.77.3.1:8084"} {
		if got := caller(t, client, at); got != "pod" {
			t.Errorf("%q answers at %s", got, at)
		}
	}
}

// answerAt is what a host says, nothing if it cannot be reached.
func answerAt(from *netns.NS, addr string) (answer string) {
	_ = from.Do(func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		buf := make([]byte, 100)
		n, _ := c.Read(buf)
		answer = "something: " + string(buf[:n])
		return nil
	})
	return answer
}

// TestSameHostPortTwiceInAPod: what means the same port is one, the first counts.
func TestSameHostPortTwiceInAPod(t *testing.T) {
	a := startAgent(t, nil, nil)
	pod := namespace(t)
	tellName(t, pod, "pod")
	joinMapped(t, a, pod, "pod",
		mapping{"hostPort": 9000, "containerPort": 80, "protocol": "TCP"},
		mapping{"hostIP": "0.0.0.0", "hostPort": 9000, "containerPort": 81, "protocol": "TCP"})
	if got := caller(t, a.ns, "10.77.3.1:9000"); got != "pod" {
		t.Errorf("%q answers", got)
	}
}

// TestUDPHostPortMovesOn: a client that keeps its port is answered by the pod that has the
// host port now, whoever had it when the client began to send.
func TestUDPHostPortMovesOn(t *testing.T) {
	a := startAgent(t, nil, nil)
	port := mapping{"hostPort": 5140, "containerPort": 80, "protocol": "UDP"}
	var c net.Conn
	in(t, a.ns, func() (err error) { c, err = net.Dial("udp", "10.77.3.1:5140"); return err })
	defer c.Close()
	asked := func(want string) {
		t.Helper()
		eventually(t, "the answer of "+want, func() error {
			_, _ = c.Write([]byte("?")) // refused while nobody is there
			if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				return err
			}
			buf := make([]byte, 100)
			n, err := c.Read(buf)
			if err == nil && !strings.HasPrefix(string(buf[:n]), want) {
				err = errors.New(string(buf[:n]))
			}
			return err
		})
	}
	_, _ = c.Write([]byte("?")) // before there is any pod
	for _, name := range []string{"first", "second"} {
		pod := namespace(t)
		tellName(t, pod, name)
		joinMapped(t, a, pod, name, port)
		asked(name)
		leave(t, a.ns, pod.Path(), a.o, name)
		_, _ = c.Write([]byte("?"))
	}
}
