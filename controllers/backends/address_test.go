package backends

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/api/discovery"
)

// TestAddress: of what a kubelet reports only that becomes an endpoint which a slice takes, as the
// slices' own validation says; one bad address must not keep a service's other endpoints out.
func TestAddress(t *testing.T) {
	for text, v6 := range map[string]bool{
		"10.0.0.1": false, "fd00::1": true,
		"127.0.0.1": false, "0.0.0.0": false, "169.254.1.1": false, "224.0.0.1": false,
		"::1": true, "::": true, "fe80::1": true, "ff02::1": true, "::ffff:1.2.3.4": true, "010.0.0.1": false, "x": false,
	} {
		p := &corev1.Pod{Status: corev1.PodStatus{PodIP: text}}
		kind := discoveryv1.AddressTypeIPv4
		if v6 {
			kind = discoveryv1.AddressTypeIPv6
		}
		taken := len(discovery.ValidateEndpointSlice(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "s"},
			AddressType: kind, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{text}}}})) == 0
		if text == "::ffff:1.2.3.4" {
			taken = false // an address of the other family, written as one of this
		}
		if got := Address(p, v6); (got != "") != taken {
			t.Errorf("%s: %q; a slice takes it: %v", text, got, taken)
		}
		if got := Address(p, !v6); got != "" {
			t.Errorf("%s is %q of the other family", text, got)
		}
	}
	two := &corev1.Pod{Status: corev1.PodStatus{PodIP: "127.0.0.1", PodIPs: []corev1.PodIP{{IP: "127.0.0.1"}, {IP: "10.0.0.1"}}}}
	if got := Address(two, false); got != "10.0.0.1" {
		t.Errorf("the first that can be one is %q", got)
	}
	if Reachable(netip.Addr{}) {
		t.Error("no address is reachable")
	}
}
