package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestReachableInEveryForm: an address that nobody may choose is refused however it is written.
func TestReachableInEveryForm(t *testing.T) {
	for ip, want := range map[string]bool{
		"192.0.2.1": true, "192.0.2.01": true, "127.0.0.1": false, "127.0.0.01": false, "0127.0.0.1": false, "::ffff:127.0.0.1": false,
		"0.0.0.00": false, "169.254.169.0254": false, "224.0.0.01": false, "::1": false, "fd00::1": true,
	} {
		s := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}},
			SessionAffinity: corev1.ServiceAffinityNone, ExternalIPs: []string{ip}}}
		DefaultService(s)
		if errs := ValidateService(s); (len(errs) == 0) != want {
			t.Errorf("external address %q: %v, want it taken: %v", ip, errs, want)
		}
		e := &corev1.Endpoints{Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: ip}}, Ports: []corev1.EndpointPort{{Port: 80, Protocol: corev1.ProtocolTCP}}}}}
		if errs := ValidateEndpoints(e); (len(errs) == 0) != want {
			t.Errorf("endpoint %q: %v, want it taken: %v", ip, errs, want)
		}
	}
}
