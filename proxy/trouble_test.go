package proxy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"hyperkube/internal/netns"
	"hyperkube/internal/nft"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

// gone is an API server that cannot be reached until it is back.
type gone struct {
	source
	mu   sync.Mutex
	back bool
}

func (g *gone) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.back {
		return nil
	}
	return errors.New("connection refused")
}

func (g *gone) ListerWatcher(gvr schema.GroupVersionResource, o kit.SourceOptions) cache.ListerWatcherWithContext {
	return goneResource{g, g.source.ListerWatcher(gvr, o)}
}

type goneResource struct {
	g *gone
	cache.ListerWatcherWithContext
}

func (goneResource) IsWatchListSemanticsUnSupported() bool { return true }

func (r goneResource) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if err := r.g.err(); err != nil {
		return nil, err
	}
	return r.ListerWatcherWithContext.ListWithContext(ctx, o)
}

func (r goneResource) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if err := r.g.err(); err != nil {
		return nil, err
	}
	return r.ListerWatcherWithContext.WatchWithContext(ctx, o)
}

// TestGoneIsTold: an API server that is gone is told at once and counted, and the proxy has
// not synced, nor is it healthy, before it knows what to serve.
func TestGoneIsTold(t *testing.T) {
	l := newLab(t)
	src := &gone{source: l.api}
	l.add(service("web", "10.32.0.10", 80), 8000, "10.88.0.2")
	log, registry := &logged{}, prometheus.NewRegistry()
	informers := kit.NewInformers(src, slog.New(slog.NewTextHandler(log, nil)), kit.Failures(trouble.Metric(registry)))
	var p *Proxy
	l.in(l.node, func() (err error) {
		p, err = New(Options{Informers: informers, NodeName: "here", Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: registry, HealthzAddress: "-", MetricsAddress: "-"})
		return err
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- informers.Run(ctx) }()
	go func() { done <- p.Run(ctx) }()
	const line = "reading from the API server fails"
	l.eventually("telling and counting", func() error {
		if n := log.count(line); n == 0 || failures(t, registry) < 4 {
			return errors.New("not told")
		}
		return nil
	})
	if n := log.count(line); n != 1 {
		t.Errorf("%d lines at once", n)
	}
	select {
	case <-p.Synced():
		t.Error("synced without a list")
	default:
	}
	if !p.health.lastSync().IsZero() {
		t.Error("healthy without a list")
	}
	src.mu.Lock()
	src.back = true
	src.mu.Unlock()
	select {
	case <-p.Synced():
	case <-time.After(patience):
		t.Error("not synced")
	}
	l.eventually("telling that it is over", func() error {
		if log.count("works again") == 0 {
			return errors.New("not told")
		}
		return nil
	})
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func failures(t *testing.T, r *prometheus.Registry) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "hyperkube_failures_total" {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestOneBadServiceHarmsNoOther: the builder panics over one service.
func TestOneBadServiceHarmsNoOther(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2")
	l.add(service("good", "10.32.0.10", 80), 8000, "10.88.0.2")
	l.add(service("bad", "10.32.0.11", 80), 8000, "10.88.0.2")
	log := &logged{}
	p := l.prepare(func(o *Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	p.rules = func(f nft.Family, c Config, ports []Port) *nft.Fragment {
		if len(ports) > 0 && ports[0].Service == "bad" {
			panic("not thought of")
		}
		return ServiceRules(f, c, ports)
	}
	l.run(p)
	l.reach(client, "tcp", "10.32.0.10:80", "10.88.0.2")
	if log.count("default/bad") == 0 || log.count("not thought of") == 0 {
		t.Error("not told")
	}
}

// TestReservedPorts: neither a node port nor an external address that is the host's takes
// over a port that the host listens on.
func TestReservedPorts(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2")
	l.answer(l.node, "host", 6443)
	l.answer(l.node, "host", 30250)
	external := func(s *corev1.Service) { s.Spec.ExternalIPs = []string{labGateway, "10.99.0.1"} }
	l.add(service("thief", "10.32.0.10", 6443, external), 8000, "10.88.0.2")
	l.add(service("port-thief", "10.32.0.11", 80, nodePort(30250)), 8000, "10.88.0.2")
	l.add(service("honest", "10.32.0.12", 6444, external, nodePort(30251)), 8000, "10.88.0.2")
	l.start(func(o *Options) {
		o.ReservedPorts = []HostPort{{corev1.ProtocolTCP, 6443}, {corev1.ProtocolTCP, 30250}}
	})
	for _, addr := range []string{labGateway + ":6443", labGateway + ":30250"} {
		l.reach(l.node, "tcp", addr, "host")
		l.reach(client, "tcp", addr, "host")
	}
	l.reach(client, "tcp", "10.32.0.10:6443", "10.88.0.2") // the service itself is served
	l.reach(client, "tcp", labGateway+":6444", "10.88.0.2")
	l.reach(client, "tcp", labGateway+":30251", "10.88.0.2")
}

// TestExternalAddressesOfOthers: a service that names another's ClusterIP, a pod's address, or
// the host's with another's node port among its own gets none of what is sent there, whatever the names sort like.
func TestExternalAddressesOfOthers(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	l.answer(l.pods["10.88.0.3"], "10.88.0.3", 53)
	l.add(service("names", "10.32.0.10", 53), 8000, "10.88.0.3")
	l.add(service("a-thief", "10.32.0.11", 53, func(s *corev1.Service) {
		s.Spec.ExternalIPs = []string{"10.32.0.10", "10.88.0.3", "10.99.0.1"}
	}), 8000, "10.88.0.2")
	l.add(service("ports", "10.32.0.12", 80, nodePort(30080)), 53, "10.88.0.3")
	l.add(service("a-port-thief", "10.32.0.13", 30080, func(s *corev1.Service) { s.Spec.ExternalIPs = []string{labGateway} }), 8000, "10.88.0.2")
	l.start()
	for _, from := range []*netns.NS{client, l.node} {
		l.reach(from, "tcp", "10.32.0.10:53", "10.88.0.3")
		l.reach(from, "tcp", "10.88.0.3:53", "10.88.0.3")
		l.reach(from, "tcp", labGateway+":30080", "10.88.0.3")
		l.reach(from, "tcp", "10.99.0.1:53", "10.88.0.2") // what is nobody else's is served
	}
}

// TestExternalAddressOfSeveral: it is that of the service that a load balancer gave it to, else
// of the oldest, whatever the names sort like.
func TestExternalAddressOfSeveral(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2", "10.88.0.3")
	made := func(year int) option {
		return func(s *corev1.Service) {
			s.CreationTimestamp = metav1.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		}
	}
	external := func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"10.99.0.1", "10.99.0.2"} }
	balanced := func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.99.0.2"}}
	}
	l.add(service("a-thief", "10.32.0.11", 80, made(2021), external), 8000, "10.88.0.2")
	l.add(service("older", "10.32.0.12", 80, made(2020), func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"10.99.0.1"} }), 8000, "10.88.0.3")
	l.add(service("younger", "10.32.0.13", 80, made(2022), balanced), 8000, "10.88.0.3")
	l.start()
	for _, addr := range []string{"10.99.0.1:80", "10.99.0.2:80"} {
		l.reach(client, "tcp", addr, "10.88.0.3")
	}
}

// TestOwnPortsAreReserved: the proxy's health and metrics.
func TestOwnPortsAreReserved(t *testing.T) {
	l := newLab(t)
	p := l.start(func(o *Options) { o.HealthzAddress, o.MetricsAddress = "127.0.0.1:10256", "127.0.0.1:10249" })
	want := []HostPort{{corev1.ProtocolTCP, 10256}, {corev1.ProtocolTCP, 10249}}
	if diff := cmp.Diff(want, p.tables[0].config.Reserved); diff != "" {
		t.Error(diff)
	}
}

// TestFamilyThatIsServedNoMore: rules of a cluster that had two families go.
func TestFamilyThatIsServedNoMore(t *testing.T) {
	l := newLab(t)
	six := l.kernelOf(nft.IPv6)
	l.start(func(o *Options) { o.ClusterCIDRs = append(o.ClusterCIDRs, netip.MustParsePrefix("fd00::/64")) })
	if have, err := six.Read(); err != nil || !have.Exists {
		t.Fatalf("with two families: %+v, %v", have, err)
	}
	l.stop()
	l.start()
	if have, err := six.Read(); err != nil || have.Exists {
		t.Errorf("with one: %+v, %v", have, err)
	}
}

// TestCompareUDP finds what differs once for all fronts, whatever there are.
func TestCompareUDP(t *testing.T) {
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	a, b := at("10.1.0.1:53"), at("10.1.0.2:53")
	ip, ext := netip.MustParseAddr("10.32.0.1"), netip.MustParseAddr("192.0.2.1")
	port := func(endpoints ...netip.AddrPort) []Port {
		return []Port{{Proto: 17, Port: 53, NodePort: 30053, ClusterIPs: []netip.Addr{ip}, ExternalIPs: []netip.Addr{ext}, All: endpoints}}
	}
	for name, tc := range map[string]struct {
		before, now []Port
		gone        int // fronts with endpoints that are gone
		fresh       int // fronts that had none
	}{
		"same":      {port(a, b), port(a, b), 0, 0},
		"one gone":  {port(a, b), port(b), 3, 0},
		"all gone":  {port(a), port(), 3, 0},
		"deleted":   {port(a), nil, 3, 0},
		"first":     {nil, port(a), 0, 3},
		"first one": {port(), port(a), 0, 3},
		"moved":     {port(a), port(b), 3, 0},
	} {
		gone, fresh := 0, 0
		for _, f := range compareUDP(tc.before, tc.now) {
			if f.to == nil {
				fresh++
			} else if gone++; !f.to[a] || f.to[b] {
				t.Errorf("%s: %v is gone", name, f.to)
			}
		}
		if gone != tc.gone || fresh != tc.fresh {
			t.Errorf("%s: %d and %d fronts, want %d and %d", name, gone, fresh, tc.gone, tc.fresh)
		}
	}
}
