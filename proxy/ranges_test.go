package proxy

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/nft"
)

// TestSourceRangesAsWritten: whom a balancer's address is for, in whatever form validation
// lets ranges be written; with ranges of which none is of the family it is for nobody.
func TestSourceRangesAsWritten(t *testing.T) {
	l := newLab(t)
	l.serve(8000, "10.88.0.2")
	outside := l.pod("10.99.0.9")
	l.in(l.node, func() error { return addAddr("cbr0", "10.99.0.1/24", 0) })
	open := map[int32]bool{}
	for i, tc := range []struct {
		ranges []string
		open   bool
	}{
		{nil, true}, {[]string{"10.99.0.0/24"}, true}, {[]string{" 10.99.0.0/24"}, true}, {[]string{"010.099.0.0/24\t"}, true},
		{[]string{"10.99.0.7/24"}, true}, {[]string{"::ffff:10.99.0.0/120"}, true}, {[]string{"0.0.0.0/0"}, true}, {[]string{"fd00::/8", " 10.99.0.0/24"}, true},
		{[]string{"203.0.113.0/24"}, false}, {[]string{" 203.0.113.0/24"}, false}, {[]string{"203.000.113.000/24"}, false},
		{[]string{"::ffff:203.0.113.0/120"}, false}, {[]string{"fd00::/8"}, false}, {[]string{"no range"}, false},
	} {
		port := int32(8000 + i)
		s := service(fmt.Sprint("balanced-", i), fmt.Sprint("10.32.0.", 10+i), port)
		s.Spec.Type, s.Spec.LoadBalancerSourceRanges = corev1.ServiceTypeLoadBalancer, tc.ranges
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.7"}}
		l.add(s, 8000, "10.88.0.2")
		open[port] = tc.open
	}
	l.start()
	var asking sync.WaitGroup
	for port, want := range open {
		asking.Go(func() {
			a, err := ask(outside, "tcp", fmt.Sprint("198.51.100.7:", port))
			if (err == nil) != want {
				t.Errorf("port %d answers %q, %v; want it open: %v", port, a, err, want)
			}
		})
	}
	asking.Wait()
}

// TestAddressesAsWritten: external addresses are served in old forms too, but never loopback.
func TestAddressesAsWritten(t *testing.T) {
	got := addrs(nft.IPv4, []string{"010.0.0.1", "::ffff:10.0.0.2", "10.0.0.1", "127.0.0.01", "0177.0.0.1", "fd00::1", "169.254.0.09", ""})
	want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("177.0.0.1")}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
