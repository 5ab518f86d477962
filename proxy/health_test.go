package proxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"hyperkube/internal/nft"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
)

// TestHealthCheckNodePortCountsWhoStays: a load balancer that asks is sent elsewhere while
// the node's last endpoints of a service end, which are served meanwhile.
func TestHealthCheckNodePortCountsWhoStays(t *testing.T) {
	svc := service("local", "10.32.0.12", 80, nodePort(30082), func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal, 30999
	})
	k := kit.KeyOf(svc)
	log := slog.New(slog.DiscardHandler)
	h, pub := newHealth(log, trouble.New(log, nil, "opening health check node ports")), published{}
	for _, step := range []struct {
		endpoints []string
		status    int
		local     int
		served    []string
	}{
		{[]string{"10.88.0.2", "10.88.0.3"}, http.StatusOK, 2, []string{"10.88.0.2", "10.88.0.3"}},
		{[]string{"!10.88.0.2", "10.88.0.3"}, http.StatusOK, 1, []string{"10.88.0.3"}},
		{[]string{"!10.88.0.2", "!10.88.0.3", "10.88.0.4@there"}, http.StatusServiceUnavailable, 0, []string{"10.88.0.2", "10.88.0.3"}},
		{[]string{"10.88.0.3", "10.88.0.4@there"}, http.StatusOK, 1, []string{"10.88.0.3"}},
		{[]string{"10.88.0.4@there"}, http.StatusServiceUnavailable, 0, nil},
	} {
		ports := Resolve(nft.IPv4, svc, []*discoveryv1.EndpointSlice{slice(svc, 8000, step.endpoints...)}, Here{Node: "here"})
		pub.update(k, svc, ports)
		pub.apply(h)
		w := httptest.NewRecorder()
		h.forService(k).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		want := fmt.Sprintf(`{"service":{"namespace":"default","name":"local"},"localEndpoints":%d,"serviceProxyHealthy":true}`, step.local)
		if w.Code != step.status || w.Body.String() != want {
			t.Errorf("%v: %d %s, want %d %s", step.endpoints, w.Code, w.Body, step.status, want)
		}
		var served []netip.AddrPort
		for _, ip := range step.served {
			served = append(served, netip.AddrPortFrom(netip.MustParseAddr(ip), 8000))
		}
		if fmt.Sprint(ports[0].Local) != fmt.Sprint(served) {
			t.Errorf("%v: served are %v, want %v", step.endpoints, ports[0].Local, served)
		}
	}
}
