package proxy

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"hyperkube/internal/bounds"
	"hyperkube/internal/nft"
)

// TestRuleset runs the scenarios in testdata: "base" prints the table without
// services; "service" reads a Service and its EndpointSlices as YAML documents and
// prints what they add.
func TestRuleset(t *testing.T) {
	datadriven.Walk(t, "testdata/ruleset", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			f := nft.IPv4
			if d.HasArg("ip6") {
				f = nft.IPv6
			}
			var c Config
			for _, a := range d.CmdArgs {
				for _, v := range a.Vals {
					switch a.Key {
					case "cluster":
						c.ClusterCIDRs = append(c.ClusterCIDRs, netip.MustParsePrefix(v))
					case "reserved":
						p, err := strconv.ParseUint(v, 10, 16)
						if err != nil {
							t.Fatal(err)
						}
						c.Reserved = append(c.Reserved, HostPort{corev1.ProtocolTCP, uint16(p)})
					case "nodeports":
						c.NodePortNets = append(c.NodePortNets, netip.MustParsePrefix(v))
					}
				}
			}
			want := nft.NewDesired(nft.Table{Family: f, Name: "t"})
			switch d.Cmd {
			case "base":
				want.Put("", BaseRules(f, c))
			case "service":
				base := BaseRules(f, c)
				base.Chains = nil
				want.Put("", base)
				svc, slices := parse(t, d.Input)
				want.Put("svc", ServiceRules(f, c, Resolve(f, svc, slices, Here{Node: "here", Zone: "a"})))
			default:
				t.Fatalf("no command %s", d.Cmd)
			}
			return want.Text()
		})
	})
}

func parse(t *testing.T, text string) (svc *corev1.Service, slices []*discoveryv1.EndpointSlice) {
	t.Helper()
	for i, doc := range strings.Split(text, "\n---\n") {
		if i == 0 {
			svc = &corev1.Service{}
			if err := yaml.UnmarshalStrict([]byte(doc), svc); err != nil {
				t.Fatal(err)
			}
			continue
		}
		s := &discoveryv1.EndpointSlice{}
		if err := yaml.UnmarshalStrict([]byte(doc), s); err != nil {
			t.Fatal(err)
		}
		slices = append(slices, s)
	}
	return svc, slices
}

// TestRememberedClientsAreBounded: however many ports a service with affinity has, and never
// by another number because of one port more, but for steps.
func TestRememberedClientsAreBounded(t *testing.T) {
	sizes := map[int]bool{}
	for n := 1; n <= bounds.ServiceFronts; n++ {
		each := clientsEach(n)
		if sizes[each] = true; each < bounds.PortClients || each > bounds.PortClients && n*each > bounds.ServiceClients {
			t.Fatalf("%d ports remember %d clients each", n, each)
		}
	}
	if clientsEach(1) != bounds.ServiceClients || len(sizes) != 13 {
		t.Errorf("one port remembers %d, sizes are %v", clientsEach(1), sizes)
	}
	ports := make([]Port, 100)
	for i := range ports {
		ports[i] = Port{Namespace: "a", Service: "b", Proto: 6, Port: uint16(i + 1), Sticky: time.Hour,
			ClusterIPs: []netip.Addr{netip.MustParseAddr("10.32.0.1")}, All: []netip.AddrPort{netip.MustParseAddrPort("10.88.0.2:80")}}
	}
	sum := 0
	for _, s := range ServiceRules(nft.IPv4, Config{}, ports).Sets {
		sum += s.Most
	}
	if sum == 0 || sum > bounds.ServiceClients {
		t.Errorf("100 ports remember %d clients", sum)
	}
}
