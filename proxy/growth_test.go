package proxy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pgregory.net/rapid"

	"hyperkube/internal/bounds"
	"hyperkube/internal/nft"
)

func ptr[T any](v T) *T { return &v }

// anyService draws a Service that need not be valid.
func anyService(t *rapid.T) *corev1.Service {
	text := func(of ...string) *rapid.Generator[string] { return rapid.SampledFrom(of) }
	address := text("10.32.0.1", "10.32.0.2", "fd00::1", "fd00::2", "127.0.0.1", "0.0.0.0", "::", "::1", "169.254.1.1", "fe80::1%eth0", "224.0.0.1",
		"::ffff:10.0.0.1", "010.0.0.1", "", "None", "x", "255.255.255.255")
	number := rapid.SampledFrom([]int32{0, 1, 80, 443, 6443, 30000, 65535, 65536, 65616, -1, 1 << 30})
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "svc"}}
	if rapid.IntRange(0, 9).Draw(t, "labelled") == 0 {
		s.Labels = map[string]string{labelProxyName: "other"}
	}
	s.Spec.Type = corev1.ServiceType(text("", "ClusterIP", "NodePort", "LoadBalancer", "NodePort", "LoadBalancer", "ExternalName", "?").Draw(t, "type"))
	s.Spec.ClusterIP = rapid.OneOf(text("10.32.0.1", "fd00::1"), address).Draw(t, "clusterIP")
	s.Spec.ClusterIPs = rapid.SliceOfN(address, 0, 4).Draw(t, "clusterIPs")
	s.Spec.ExternalIPs = rapid.SliceOfN(address, 0, 5).Draw(t, "externalIPs")
	s.Spec.LoadBalancerSourceRanges = rapid.SliceOfN(text("10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "10.1.2.3/8", " 10.0.0.0/8", "x", "10.0.0.0/33"), 0, 4).Draw(t, "ranges")
	s.Spec.SessionAffinity = corev1.ServiceAffinity(text("", "None", "ClientIP", "?").Draw(t, "affinity"))
	if rapid.Bool().Draw(t, "timeout") {
		s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{}
		if rapid.Bool().Draw(t, "seconds") {
			s.Spec.SessionAffinityConfig.ClientIP = &corev1.ClientIPConfig{TimeoutSeconds: rapid.SampledFrom([]*int32{nil, ptr[int32](-1), ptr[int32](0), ptr[int32](5), ptr[int32](1 << 30)}).Draw(t, "n")}
		}
	}
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(text("", "Cluster", "Local", "?").Draw(t, "external"))
	s.Spec.InternalTrafficPolicy = rapid.SampledFrom([]*corev1.ServiceInternalTrafficPolicy{nil, ptr(corev1.ServiceInternalTrafficPolicyLocal), ptr(corev1.ServiceInternalTrafficPolicyCluster)}).Draw(t, "internal")
	for range rapid.IntRange(0, 5).Draw(t, "ports") {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: text("", "a", "b").Draw(t, "name"), Port: number.Draw(t, "port"), NodePort: number.Draw(t, "nodePort"),
			Protocol: corev1.Protocol(text("", "TCP", "UDP", "SCTP", "ICMP").Draw(t, "proto"))})
	}
	for range rapid.IntRange(0, 3).Draw(t, "ingress") {
		in := corev1.LoadBalancerIngress{IP: address.Draw(t, "ip")}
		in.IPMode = rapid.SampledFrom([]*corev1.LoadBalancerIPMode{nil, ptr(corev1.LoadBalancerIPModeVIP), ptr(corev1.LoadBalancerIPModeProxy)}).Draw(t, "mode")
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, in)
	}
	return s
}

// anySlice draws an EndpointSlice that need not be valid.
func anySlice(t *rapid.T) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressType(rapid.SampledFrom([]string{"IPv4", "IPv6", "FQDN", ""}).Draw(t, "family"))}
	for range rapid.IntRange(0, 4).Draw(t, "ports") {
		p := discoveryv1.EndpointPort{Name: rapid.SampledFrom([]*string{nil, ptr(""), ptr("a"), ptr("b")}).Draw(t, "name")}
		p.Protocol = rapid.SampledFrom([]*corev1.Protocol{nil, ptr(corev1.ProtocolTCP), ptr(corev1.ProtocolUDP), ptr(corev1.Protocol("?"))}).Draw(t, "proto")
		p.Port = rapid.SampledFrom([]*int32{nil, ptr[int32](0), ptr[int32](80), ptr[int32](65616), ptr[int32](-5)}).Draw(t, "port")
		s.Ports = append(s.Ports, p)
	}
	flag := rapid.SampledFrom([]*bool{nil, ptr(true), ptr(false)})
	for range rapid.IntRange(0, 6).Draw(t, "endpoints") {
		e := discoveryv1.Endpoint{Addresses: rapid.SliceOfN(rapid.SampledFrom([]string{"10.1.0.1", "10.1.0.2", "fd00::7", "127.0.0.1", "0.0.0.0", "::1", "example.com", ""}), 0, 2).Draw(t, "addresses")}
		e.Conditions = discoveryv1.EndpointConditions{Ready: flag.Draw(t, "ready"), Serving: flag.Draw(t, "serving"), Terminating: flag.Draw(t, "terminating")}
		e.NodeName = rapid.SampledFrom([]*string{nil, ptr("here"), ptr("there")}).Draw(t, "node")
		switch rapid.IntRange(0, 3).Draw(t, "hints") {
		case 0:
			e.Hints = &discoveryv1.EndpointHints{}
		case 1:
			e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "z"}}, ForNodes: []discoveryv1.ForNode{{Name: "here"}, {}}}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

var goesTo = regexp.MustCompile(`(?:goto|jump) (\S+)`)

// checkFragment says what is wrong with what a service adds to a table: a set, chain or
// address that the kernel would refuse, or that nobody may take.
func checkFragment(f nft.Family, c Config, fr *nft.Fragment) error {
	want := nft.NewDesired(nft.Table{Family: f, Name: "t"})
	base := BaseRules(f, c)
	want.Put("", base)
	want.Put("svc", fr)
	text := want.Text()
	for _, m := range goesTo.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(text, "\n  chain "+m[1]+" {\n") {
			return fmt.Errorf("goes to %s, which is not there:\n%s", m[1], text)
		}
	}
	for _, bad := range []string{" 127.", " ::1 ", "0.0.0.0 .", "fe80", "224.0.0.1 ."} {
		if svc := textOf(f, fr); strings.Contains(svc, bad) {
			return fmt.Errorf("%q is served:\n%s", bad, svc)
		}
	}
	return nil
}

func textOf(f nft.Family, fr *nft.Fragment) string {
	only := nft.NewDesired(nft.Table{Family: f, Name: "t"})
	base := BaseRules(f, Config{})
	base.Chains = nil
	only.Put("", base)
	only.Put("svc", fr)
	return only.Text()
}

func build(f nft.Family, c Config, t *rapid.T) *nft.Fragment {
	svc := anyService(t)
	var slices []*discoveryv1.EndpointSlice
	for range rapid.IntRange(0, 3).Draw(t, "slices") {
		slices = append(slices, anySlice(t))
	}
	ports := Resolve(f, svc, slices, Here{Node: "here", Zone: rapid.SampledFrom([]string{"", "z"}).Draw(t, "zone")})
	compareUDP(nil, ports)
	return ServiceRules(f, c, ports)
}

func anyObjects(t *rapid.T) {
	c := Config{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/64")}}
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		if fr := build(f, c, t); fr != nil {
			if err := checkFragment(f, c, fr); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAnyObjects: no Service or EndpointSlice, valid or not, makes the builder panic or
// make rules that do not hold together.
func TestAnyObjects(t *testing.T) { rapid.Check(t, anyObjects) }

// FuzzAnyObjects is the same for the fuzzer.
func FuzzAnyObjects(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyObjects)) }

// TestKernelTakesAnyObjects: and the kernel takes what is made of them.
func TestKernelTakesAnyObjects(t *testing.T) {
	l := newLab(t)
	l.in(l.node, func() error {
		for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
			table, err := newTable(f, Options{Table: "any", ReservedPorts: []HostPort{{"TCP", 6443}}})
			if err != nil {
				return err
			}
			rapid.Check(t, func(t *rapid.T) {
				table.want.Put("ns/svc", build(f, table.config, t))
				if err := table.apply(); err != nil {
					t.Fatal(err)
				}
			})
			if err := table.close(); err != nil {
				return err
			}
		}
		return nil
	})
}

// size of a fragment: how much the kernel is asked to hold.
func size(ports []Port) (backends, fronts, ranges int) {
	for i := range ports {
		p := &ports[i]
		backends += len(p.All) + len(p.Local)
		fronts += len(p.ClusterIPs) + len(p.ExternalIPs) + len(p.BalancerIPs)
		ranges += len(p.SourceRanges)
	}
	return backends, fronts, ranges
}

func manyPorts(n int) (spec []corev1.ServicePort, of []discoveryv1.EndpointPort) {
	for i := range n {
		name := fmt.Sprintf("p%d", i)
		spec = append(spec, corev1.ServicePort{Name: name, Port: int32(1 + i%65535), Protocol: []corev1.Protocol{"TCP", "UDP", "SCTP"}[i/65535%3]})
		of = append(of, discoveryv1.EndpointPort{Name: &name, Port: ptr(int32(1 + i%65535)), Protocol: ptr([]corev1.Protocol{"TCP", "UDP", "SCTP"}[i/65535%3])})
	}
	return spec, of
}

func manySlices(slices, each int, ports []discoveryv1.EndpointPort) (out []*discoveryv1.EndpointSlice) {
	for s := range slices {
		x := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: ports}
		for e := range each {
			n := s*each + e
			x.Endpoints = append(x.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", 64+n>>16, n>>8&255, n&255)}, NodeName: ptr("here")})
		}
		out = append(out, x)
	}
	return out
}

// TestGrowthIsBounded: objects within what the API takes, made to multiply.
func TestGrowthIsBounded(t *testing.T) {
	var many []string
	for i := range 100_000 {
		many = append(many, fmt.Sprintf("11.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	var ranges []string
	for i := range 50_000 {
		ranges = append(ranges, fmt.Sprintf("12.%d.%d.0/24", i>>8, i&255))
	}
	for name, tc := range map[string]struct {
		ports          int
		slices, each   int
		external       []string
		ranges         []string
		cut            bool
		sticky         bool
		wantBackends   int
		wantFrontsEach int
	}{
		"as usual":                     {ports: 3, slices: 1, each: 100, wantBackends: 600, wantFrontsEach: 1},
		"a thousand ports":             {ports: 1000, slices: 1, each: 100, wantBackends: 200_000, wantFrontsEach: 1},
		"65,000 endpoints":             {ports: 1, slices: 65, each: 1000, sticky: true, wantBackends: 130_000, wantFrontsEach: 1},
		"both":                         {ports: 1000, slices: 65, each: 1000, cut: true, wantFrontsEach: 1},
		"20,000 ports":                 {ports: 20_000, slices: 65, each: 1000, cut: true, wantFrontsEach: 1},
		"100,000 ports":                {ports: 100_000, slices: 10, each: 1000, cut: true, wantFrontsEach: 1},
		"100,000 addresses":            {ports: 1, slices: 1, each: 1, external: many, cut: true},
		"addresses × ports":            {ports: 1000, slices: 1, each: 1, external: many, cut: true},
		"source ranges × ports":        {ports: 1000, slices: 1, each: 1, external: many[:1], ranges: ranges, cut: true},
		"100,000 endpoints of a port":  {ports: 1, slices: 100, each: 1000, cut: true, wantFrontsEach: 1},
		"many slices without any port": {ports: 1000, slices: 10_000, each: 0, wantFrontsEach: 1},
	} {
		t.Run(name, func(t *testing.T) {
			spec, of := manyPorts(tc.ports)
			svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s"}}
			svc.Spec = corev1.ServiceSpec{ClusterIP: "10.32.0.1", Ports: spec, ExternalIPs: tc.external, LoadBalancerSourceRanges: tc.ranges}
			if tc.sticky {
				svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			}
			slices := manySlices(tc.slices, tc.each, of)
			start := time.Now()
			ports := Resolve(nft.IPv4, svc, slices, Here{Node: "here"})
			fr := ServiceRules(nft.IPv4, Config{}, ports)
			compareUDP(ports, nil)
			took := time.Since(start)
			backends, fronts, rangesHeld := size(ports)
			if backends > 2*(bounds.ServiceBackends+tc.ports) || fronts > bounds.ServiceFronts || rangesHeld > bounds.ServiceRanges+tc.ports {
				t.Errorf("%d backends, %d fronts, %d ranges", backends, fronts, rangesHeld)
			}
			if tc.wantBackends != 0 && backends != tc.wantBackends {
				t.Errorf("%d backends, want %d", backends, tc.wantBackends)
			}
			if tc.wantFrontsEach != 0 && fronts != tc.wantFrontsEach*len(ports) {
				t.Errorf("%d fronts of %d ports", fronts, len(ports))
			}
			var cut Cut
			for _, p := range ports {
				cut.Backends += p.Cut.Backends
				cut.Fronts += p.Cut.Fronts
				cut.Ranges += p.Cut.Ranges
			}
			if (cut != Cut{}) != tc.cut {
				t.Errorf("left out: %+v", cut)
			}
			t.Logf("%d ports, %d backends, %d fronts, %d elements, %d chains in %s", len(ports), backends, fronts, len(fr.Elements), len(fr.Chains), took)
		})
	}
}

// TestNodesTakeDifferentEndpoints: of more than a node may have, not all have the same.
func TestNodesTakeDifferentEndpoints(t *testing.T) {
	spec, of := manyPorts(1)
	svc := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.32.0.1", Ports: spec}}
	slices := manySlices(140, 1000, of)
	first := map[string]bool{}
	for i := range 20 {
		ports := Resolve(nft.IPv4, svc, slices, Here{Node: fmt.Sprintf("node-%d", i)})
		if len(ports[0].All) != bounds.PortBackends || ports[0].Cut.Backends != 140_000-bounds.PortBackends {
			t.Fatalf("%d endpoints, %d left out", len(ports[0].All), ports[0].Cut.Backends)
		}
		first[ports[0].All[0].String()] = true
	}
	if len(first) < 10 {
		t.Errorf("20 nodes have %d choices", len(first))
	}
}

// TestKernelTakesTheLargest: what is within the bounds is one transaction that the kernel
// takes: one port with all endpoints it may have, and affinity.
func TestKernelTakesTheLargest(t *testing.T) {
	l := newLab(t)
	l.in(l.node, func() error {
		table, err := newTable(nft.IPv6, Options{Table: "large"})
		if err != nil {
			return err
		}
		defer func() { _ = table.kernel.Delete(); _ = table.close() }()
		p := Port{Namespace: strings.Repeat("n", 63), Service: strings.Repeat("s", 63), Proto: 6, Port: 65535, Sticky: time.Hour, ClusterIPs: []netip.Addr{netip.MustParseAddr("fd00::1")}}
		for i := range bounds.PortBackends {
			p.All = append(p.All, netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 1, 12: byte(i >> 16), 13: byte(i >> 8), 14: byte(i)}), 65535))
		}
		start := time.Now()
		table.want.Put("large", ServiceRules(nft.IPv6, table.config, []Port{p}))
		if err := table.apply(); err != nil {
			return err
		}
		t.Log("took", time.Since(start))
		have, err := table.kernel.Read()
		if err != nil {
			return err
		}
		if left := table.want.PlanAll(have); !left.Empty() {
			return fmt.Errorf("not all of it is there: %d chains", len(left.AddChains))
		}
		return nil
	})
}
