package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/netns"
	"hyperkube/kit"
)

// source is an API server of three resources.
type source map[string]*fcache.FakeControllerSource

func newSource() source {
	s := source{}
	for _, r := range []string{"services", "endpointslices", "nodes"} {
		s[r] = fcache.NewFakeControllerSource()
	}
	return s
}

func (s source) ListerWatcher(gvr schema.GroupVersionResource, _ kit.SourceOptions) cache.ListerWatcherWithContext {
	return plain{cache.ToListerWatcherWithContext(s[gvr.Resource])}
}

// plain says that the fake cannot send its list as watch events.
type plain struct{ cache.ListerWatcherWithContext }

func (plain) IsWatchListSemanticsUnSupported() bool { return true }

// lab is a node with pods and a proxy, in network namespaces.
type lab struct {
	t    *testing.T
	node *netns.NS
	api  source
	pods map[string]*netns.NS
	stop func()
}

const labGateway = "10.88.0.1"

func newLab(t *testing.T) *lab {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	l := &lab{t: t, node: namespace(t), api: newSource(), pods: map[string]*netns.NS{}}
	l.in(l.node, func() error {
		for path, v := range map[string]string{"ip_forward": "1", "conf/all/send_redirects": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/"+path, []byte(v), 0); err != nil {
				return err
			}
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "cbr0"
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/cbr0/route_localnet", []byte("1"), 0); err != nil {
			return err
		}
		if err := up("lo"); err != nil {
			return err
		}
		if err := addAddr("cbr0", labGateway+"/24", 0); err != nil {
			return err
		}
		if err := up("cbr0"); err != nil {
			return err
		}
		br, err := netlink.LinkByName("cbr0")
		if err != nil {
			return err
		}
		_, all, _ := net.ParseCIDR("0.0.0.0/0")
		return netlink.RouteAdd(&netlink.Route{Dst: all, Gw: net.ParseIP("10.88.0.254"), LinkIndex: br.Attrs().Index})
	})
	return l
}

func namespace(t *testing.T) *netns.NS { return namespaceFor(t) }

func namespaceFor(t testing.TB) *netns.NS {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

func (l *lab) in(ns *netns.NS, f func() error) {
	l.t.Helper()
	if err := ns.Do(f); err != nil {
		l.t.Fatal(err)
	}
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func addAddr(name, addr string, flags int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	a.Flags = flags
	return netlink.AddrAdd(link, a)
}

// pod makes a namespace on the bridge.
func (l *lab) pod(ip string) *netns.NS {
	l.t.Helper()
	ns := namespace(l.t)
	name := fmt.Sprintf("v%d", len(l.pods))
	l.in(l.node, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd())}); err != nil {
			return err
		}
		port, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		br, err := netlink.LinkByName("cbr0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(port, br); err != nil {
			return err
		}
		if err := netlink.LinkSetHairpin(port, true); err != nil {
			return err
		}
		return netlink.LinkSetUp(port)
	})
	l.in(ns, func() error {
		if err := up("lo"); err != nil {
			return err
		}
		if err := addAddr("eth0", ip+"/24", unix.IFA_F_NOPREFIXROUTE); err != nil {
			return err
		}
		if err := up("eth0"); err != nil {
			return err
		}
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		gw := net.ParseIP(labGateway)
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: gw, Mask: net.CIDRMask(32, 32)}}); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw})
	})
	l.pods[ip] = ns
	return ns
}

// serve answers TCP and UDP on a port of every pod given with the pod's address.
func (l *lab) serve(port int, ips ...string) {
	l.t.Helper()
	for _, ip := range ips {
		ns := l.pods[ip]
		if ns == nil {
			ns = l.pod(ip)
		}
		l.answer(ns, ip, port)
	}
}

func (l *lab) answer(ns *netns.NS, name string, port int) {
	l.t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	addr := fmt.Sprintf(":%d", port)
	l.in(ns, func() (err error) {
		if tcp, err = net.Listen("tcp4", addr); err == nil {
			udp, err = net.ListenPacket("udp4", addr)
		}
		return err
	})
	l.t.Cleanup(func() { _, _ = tcp.Close(), udp.Close() })
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintf(c, "%s %s", name, host)
			_ = c.Close()
		}
	}()
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte(name), from)
		}
	}()
}

// ask connects and returns "server client".
func ask(ns *netns.NS, network, addr string) (answer string, err error) {
	err = ns.Do(func() error {
		c, err := net.DialTimeout(network, addr, 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		if network == "udp" {
			if _, err := c.Write([]byte("?")); err != nil {
				return err
			}
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		answer = string(b[:n])
		return err
	})
	return answer, err
}

// start runs a proxy in the node's namespace until stop.
func (l *lab) start(change ...func(*Options)) *Proxy {
	l.t.Helper()
	p := l.prepare(change...)
	l.run(p)
	return p
}

// prepare makes a proxy that does not run yet.
func (l *lab) prepare(change ...func(*Options)) *Proxy {
	l.t.Helper()
	log := slog.New(slog.DiscardHandler)
	informers := kit.NewInformers(l.api, log)
	var p *Proxy
	l.in(l.node, func() (err error) {
		o := Options{Informers: informers, NodeName: "here", Log: log, HealthzAddress: "-", MetricsAddress: "-",
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.88.0.0/16")}}
		for _, c := range change {
			c(&o)
		}
		p, err = New(o)
		return err
	})
	return p
}

func (l *lab) run(p *Proxy) {
	l.t.Helper()
	informers := p.o.Informers
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan error, 2)
	go func() { done <- informers.Run(ctx) }()
	go func() { done <- p.Run(ctx) }()
	l.stop = func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				l.t.Error(err)
			}
		}
		l.stop = func() {}
	}
	l.t.Cleanup(func() { l.stop() })
	select {
	case <-p.Synced():
	case <-time.After(patience):
		l.t.Fatal("no first sync")
	}
}

// patience is for machines that have much else to do; what works does not need it.
const patience = 30 * time.Second

// eventually tries until f is content.
func (l *lab) eventually(what string, f func() error) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	err := f()
	for tick := time.NewTicker(5 * time.Millisecond); err != nil && time.Now().Before(deadline); <-tick.C {
		err = f()
	}
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
}

type option func(*corev1.Service)

func service(name, ip string, port int32, opts ...option) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip},
		Ports: []corev1.ServicePort{{Name: "main", Protocol: corev1.ProtocolTCP, Port: port, TargetPort: intstr.FromInt32(8000)}}}}
	for _, o := range opts {
		o(s)
	}
	return s
}

func udp(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolUDP }

func nodePort(n int32) option {
	return func(s *corev1.Service) { s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, n }
}

func sticky(seconds int32) option {
	return func(s *corev1.Service) {
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
}

// slice lists ready endpoints; "!ip" is one that is terminating and still serves,
// "ip@node" is on another node.
func slice(svc *corev1.Service, port int32, endpoints ...string) *discoveryv1.EndpointSlice {
	yes, no := true, false
	sp := svc.Spec.Ports[0]
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name + "-1",
		Labels: map[string]string{discoveryv1.LabelServiceName: svc.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &sp.Name, Protocol: &sp.Protocol, Port: &port}}}
	for _, e := range endpoints {
		node := "here"
		ep := discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no}}
		if e[0] == '!' {
			e = e[1:]
			ep.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
		}
		if ip, other, ok := cutAt(e); ok {
			e, node = ip, other
		}
		ep.Addresses, ep.NodeName = []string{e}, &node
		s.Endpoints = append(s.Endpoints, ep)
	}
	return s
}

func cutAt(s string) (string, string, bool) {
	for i := range s {
		if s[i] == '@' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func (l *lab) add(svc *corev1.Service, port int32, endpoints ...string) {
	l.api["services"].Add(svc)
	l.api["endpointslices"].Add(slice(svc, port, endpoints...))
}

func (l *lab) endpoints(svc *corev1.Service, port int32, endpoints ...string) {
	l.api["endpointslices"].Modify(slice(svc, port, endpoints...))
}
