package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/netns"
	"hyperkube/internal/nft"
)

// reach asks until every one of want has answered, and nobody else did.
func (l *lab) reach(ns *netns.NS, network, addr string, want ...string) {
	l.t.Helper()
	l.eventually("reaching "+addr, func() error {
		seen := map[string]bool{}
		for range 60 {
			a, err := ask(ns, network, addr)
			if err != nil {
				return err
			}
			server, _, _ := strings.Cut(a, " ")
			seen[server] = true
		}
		for _, w := range want {
			if !seen[w] {
				return fmt.Errorf("never answered by %s: %v", w, seen)
			}
		}
		if len(seen) != len(want) {
			return fmt.Errorf("answered by %v, want %v", seen, want)
		}
		return nil
	})
}

func (l *lab) refused(ns *netns.NS, network, addr string) {
	l.t.Helper()
	l.eventually("refusal of "+addr, func() error {
		a, err := ask(ns, network, addr)
		if network == "udp" && ns == l.node && errors.Is(err, syscall.EPERM) { // the sender's own kernel refuses
			return nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("got %q, %v", a, err)
		}
		return nil
	})
}

func TestClusterIP(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	web := service("web", "10.32.0.10", 80)
	dns := service("dns", "10.32.0.11", 53, udp)
	l.add(web, 8000, "10.88.0.2", "10.88.0.3")
	l.add(dns, 8000, "10.88.0.2")
	l.add(service("none", "10.32.0.12", 80), 8000)
	l.add(service("no-udp", "10.32.0.13", 80, udp), 8000)
	l.start()
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.2", "10.88.0.3")
	l.reach(l.node, "tcp", "10.32.0.10:80", "10.88.0.2", "10.88.0.3")
	l.reach(client, "udp", "10.32.0.11:53", "10.88.0.2")
	if a, err := ask(client, "tcp", "10.32.0.10:80"); err != nil || !strings.HasSuffix(a, " 10.88.0.9") {
		t.Errorf("the server does not see the pod's address: %q, %v", a, err)
	}
	for _, from := range []*netns.NS{client, l.node} {
		l.refused(from, "tcp", "10.32.0.12:80")
		l.refused(from, "udp", "10.32.0.13:80")
		l.refused(from, "tcp", "10.32.0.10:81") // a service but not a port of it
	}
	l.endpoints(web, 8000, "10.88.0.3")
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.3")
	l.endpoints(web, 8000, "!10.88.0.2") // nobody ready: who still serves will do
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.2")
	l.api["services"].Delete(web)
	l.eventually("deletion", func() error {
		if _, err := ask(client, "tcp", "10.32.0.10:80"); err == nil {
			return errors.New("still answers")
		}
		return nil
	})
}

// TestHairpin: an endpoint reaches itself through its service, whether or not bridged
// packets pass the IP hooks.
func TestHairpin(t *testing.T) {
	for _, bridgeNF := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables="+bridgeNF, func(t *testing.T) {
			l := newLab(t)
			l.in(l.node, func() error { return os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte(bridgeNF), 0) })
			hairpin(t, l)
		})
	}
}

func hairpin(t *testing.T, l *lab) {
	t.Helper()
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2")
	l.add(service("self", "10.32.0.10", 80), 8000, "10.88.0.2")
	l.start()
	l.reach(l.pods["10.88.0.2"], "tcp", "10.32.0.10:80", "10.88.0.2")
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.2")
	l.add(service("self-udp", "10.32.0.11", 80, udp), 8000, "10.88.0.2")
	l.reach(l.pods["10.88.0.2"], "udp", "10.32.0.11:80", "10.88.0.2")
}

// TestEndpointOnTheNode: the API server is one.
func TestEndpointOnTheNode(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.answer(l.node, labGateway, 6443)
	l.add(service("kubernetes", "10.32.0.1", 443), 6443, labGateway)
	l.start()
	l.reach(client, "tcp", "10.32.0.1:443", labGateway)
	l.reach(l.node, "tcp", "10.32.0.1:443", labGateway)
}

func TestNodePort(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	l.add(service("web", "10.32.0.10", 80, nodePort(30080)), 8000, "10.88.0.2", "10.88.0.3")
	l.add(service("none", "10.32.0.11", 80, nodePort(30081)), 8000)
	local := service("local", "10.32.0.12", 80, nodePort(30082), func(s *corev1.Service) {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	})
	l.add(local, 8000, "10.88.0.2", "10.88.0.3@there")
	l.start()
	for _, addr := range []string{labGateway, "127.0.0.1"} {
		l.reach(l.node, "tcp", addr+":30080", "10.88.0.2", "10.88.0.3")
		l.refused(l.node, "tcp", addr+":30081")
	}
	l.reach(client, "tcp", labGateway+":30080", "10.88.0.2", "10.88.0.3")
	l.reach(client, "tcp", labGateway+":30082", "10.88.0.2", "10.88.0.3") // a pod may use all
}

func TestExternalPolicyLocal(t *testing.T) {
	l := newLab(t)
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	outside := l.pod("10.99.0.9") // not in the cluster's range
	l.in(l.node, func() error { return addAddr("cbr0", "10.99.0.1/24", 0) })
	policy := func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }
	svc := service("local", "10.32.0.12", 80, nodePort(30082), policy)
	l.add(svc, 8000, "10.88.0.2", "10.88.0.3@there")
	l.add(service("other", "10.32.0.13", 80, nodePort(30083)), 8000, "10.88.0.2")
	l.start()
	l.reach(outside, "tcp", labGateway+":30082", "10.88.0.2")
	if a, err := ask(outside, "tcp", labGateway+":30082"); err != nil || !strings.HasSuffix(a, " 10.99.0.9") {
		t.Errorf("policy Local lost the client's address: %q, %v", a, err)
	}
	if a, err := ask(outside, "tcp", labGateway+":30083"); err != nil || strings.HasSuffix(a, " 10.99.0.9") {
		t.Errorf("policy Cluster did not masquerade: %q, %v", a, err)
	}
	if a, err := ask(outside, "tcp", "10.32.0.12:80"); err != nil || strings.HasSuffix(a, " 10.99.0.9") {
		t.Errorf("ClusterIP from outside was not masqueraded: %q, %v", a, err)
	}
	l.endpoints(svc, 8000, "10.88.0.3@there")
	l.eventually("no local endpoint", func() error {
		if a, err := ask(outside, "tcp", labGateway+":30082"); err == nil {
			return fmt.Errorf("answered by %s", a)
		}
		return nil
	})
}

func TestAffinity(t *testing.T) {
	l := newLab(t)
	l.serve(8000, "10.88.0.2", "10.88.0.3", "10.88.0.4")
	client := l.pod("10.88.0.9")
	svc := service("web", "10.32.0.10", 80, sticky(600))
	l.add(svc, 8000, "10.88.0.2", "10.88.0.3", "10.88.0.4")
	l.start()
	first, err := ask(client, "tcp", "10.32.0.10:80")
	if err != nil {
		t.Fatal(err)
	}
	server, _, _ := strings.Cut(first, " ")
	l.reach(client, "tcp", "10.32.0.10:80", server)
	var others []string
	for _, ip := range []string{"10.88.0.2", "10.88.0.3", "10.88.0.4"} {
		if ip != server {
			others = append(others, ip)
		}
	}
	l.endpoints(svc, 8000, append(others, server)...) // the same in another order
	l.reach(client, "tcp", "10.32.0.10:80", server)
	l.endpoints(svc, 8000, others...)
	l.eventually("leaving a removed endpoint", func() error {
		if a, err := ask(client, "tcp", "10.32.0.10:80"); err != nil || strings.HasPrefix(a, server+" ") {
			return fmt.Errorf("got %q, %v", a, err)
		}
		return nil
	})
	next, err := ask(client, "tcp", "10.32.0.10:80")
	if err != nil {
		t.Fatal(err)
	}
	next, _, _ = strings.Cut(next, " ")
	l.endpoints(svc, 8000, append(others, server)...)
	l.reach(client, "tcp", "10.32.0.10:80", next) // it stays with the new one
}

// TestAffinityWithoutRoom: when no more clients are remembered, others are served all the same.
func TestAffinityWithoutRoom(t *testing.T) {
	for name, endpoints := range map[string][]string{"one endpoint": {"10.88.0.2"}, "two endpoints": {"10.88.0.2", "10.88.0.3"}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.serve(8000, endpoints...)
			client := l.pod("10.88.0.9")
			l.add(service("web", "10.32.0.10", 80, sticky(600)), 8000, endpoints...)
			l.start()
			set := &nft.Set{Name: "affinity/default/web/tcp/80", Key: []nft.Type{nft.Addr}, Data: []nft.Type{nft.Addr, nft.Port}, Dynamic: true, Most: 1 << 16}
			var clients []nft.Element
			for i := range 1 << 16 {
				clients = append(clients, nft.Element{Set: set.Name, Key: nft.Key(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)})),
					Value: nft.Value{Data: nft.Key(netip.MustParseAddrPort("10.88.0.2:8000"))}})
			}
			if err := l.kernel().Apply(nft.ElementChanges(set, clients, nil)); err != nil {
				t.Fatal(err)
			}
			if answer, err := ask(client, "tcp", "10.32.0.10:80"); err != nil {
				t.Errorf("%q, %v", answer, err)
			}
		})
	}
}

func TestForeignFlushAndRestart(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	svc := service("web", "10.32.0.10", 80)
	l.add(svc, 8000, "10.88.0.2")
	l.start()
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.2")
	k := l.kernel()
	if err := k.Delete(); err != nil {
		t.Fatal(err)
	}
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.2")
	l.stop()
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.2") // rules outlive the proxy
	l.endpoints(svc, 8000, "10.88.0.3")
	l.start()
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.3")
	l.stop()
	l.in(l.node, func() error { return Reset(t.Context(), Options{}) })
	if have, err := k.Read(); err != nil || have.Exists {
		t.Errorf("after reset: %+v, %v", have, err)
	}
}

func (l *lab) kernel() *nft.Kernel { return l.kernelOf(nft.IPv4) }

func (l *lab) kernelOf(f nft.Family) *nft.Kernel {
	var k *nft.Kernel
	l.in(l.node, func() (err error) { k, err = nft.Open(nft.Table{Family: f, Name: DefaultTable}); return err })
	l.t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestUDPFollowsEndpoints(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	svc := service("dns", "10.32.0.10", 53, udp)
	l.add(svc, 8000, "10.88.0.2")
	l.start()
	c, err := dialUDP(client, "10.32.0.10:53") // one flow all along
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.eventually("first endpoint", func() error { return expect(c, "10.88.0.2") })
	l.endpoints(svc, 8000, "10.88.0.3")
	l.eventually("second endpoint", func() error { return expect(c, "10.88.0.3") })
}
