package dns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// fakeAPI lists what it is given and then keeps watches open.
func fakeAPI(t *testing.T, lists map[string]runtime.Object) *httptest.Server {
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("sendInitialEvents") != "" { // too new for this server
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
				Status: "Failure", Reason: metav1.StatusReasonInvalid, Code: 422})
			return
		}
		if r.URL.Query().Get("watch") != "" {
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-stop:
			}
			return
		}
		list, ok := lists[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(list)
	}))
	t.Cleanup(func() { close(stop); srv.Close() })
	return srv
}

func cluster() map[string]runtime.Object {
	yes, port, proto, portName := true, int32(8080), corev1.ProtocolTCP, "http"
	rv := metav1.ListMeta{ResourceVersion: "1"}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "default", Name: name, ResourceVersion: "1"}
	}
	svc := func(name, ip string) corev1.Service {
		return corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: proto}}}}
	}
	slice := discoveryv1.EndpointSlice{ObjectMeta: meta("heads-1"), AddressType: discoveryv1.AddressTypeIPv4,
		Ports:     []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &proto}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.5"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: "heads"}
	return map[string]runtime.Object{
		"/api/v1/namespaces": &corev1.NamespaceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}, ListMeta: rv,
			Items: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default", ResourceVersion: "1"}}}},
		"/api/v1/services": &corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}, ListMeta: rv,
			Items: []corev1.Service{svc("web", "10.32.0.77"), svc("heads", "None")}},
		"/apis/discovery.k8s.io/v1/endpointslices": &discoveryv1.EndpointSliceList{TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSliceList"},
			ListMeta: rv, Items: []discoveryv1.EndpointSlice{slice}},
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestAnswersFromTheCluster(t *testing.T) {
	api := fakeAPI(t, cluster())
	ports := []int{freePort(t), freePort(t), freePort(t), freePort(t)}
	conf := Corefile(CorefileOptions{Port: ports[0], HealthPort: ports[1], ReadyPort: ports[2], MetricsPort: ports[3]})
	conf = strings.Replace(conf, "pods insecure", "endpoint "+api.URL+"\n        pods insecure", 1)
	conf = strings.Replace(conf, "lameduck 5s", "", 1)
	s, err := New(Options{Corefile: conf, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- s.Run(ctx) }()
	eventually(t, func() error {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/ready", ports[2]))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
	<-s.Started()
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	server := fmt.Sprintf("127.0.0.1:%d", ports[0])
	for _, q := range []struct {
		name string
		typ  uint16
		want string
	}{
		{"web.default.svc.cluster.local.", mdns.TypeA, "10.32.0.77"},
		{"heads.default.svc.cluster.local.", mdns.TypeA, "10.0.0.5"},
		{"_http._tcp.web.default.svc.cluster.local.", mdns.TypeSRV, "0 100 80 web.default.svc.cluster.local."},
		{"77.0.32.10.in-addr.arpa.", mdns.TypePTR, "web.default.svc.cluster.local."},
		{"10-0-0-5.default.pod.cluster.local.", mdns.TypeA, "10.0.0.5"},
		{"nothing.default.svc.cluster.local.", mdns.TypeA, "NXDOMAIN"},
		{"example.com.", mdns.TypeA, "REFUSED"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := query(t, network, server, q.name, q.typ); got != q.want {
				t.Errorf("%s by %s: %s, want %s", q.name, network, got, q.want)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if l, err := net.Listen("tcp", server); err != nil {
		t.Error("port still taken:", err)
	} else {
		_ = l.Close()
	}
}

func query(t *testing.T, network, server, name string, typ uint16) string {
	t.Helper()
	m := new(mdns.Msg).SetQuestion(name, typ)
	r, _, err := (&mdns.Client{Net: network, Timeout: 20 * time.Second}).Exchange(m, server)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Answer) == 0 {
		return mdns.RcodeToString[r.Rcode]
	}
	return strings.TrimPrefix(r.Answer[0].String(), r.Answer[0].Header().String())
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	err := f()
	for tick := time.NewTicker(5 * time.Millisecond); err != nil && time.Now().Before(deadline); <-tick.C {
		err = f()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpstreams(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"plain":         {map[string]string{resolvConf: "nameserver 192.0.2.1\nsearch x\n"}, []string{resolvConf}},
		"stub":          {map[string]string{resolvConf: "nameserver 127.0.0.53\n", systemdConf: "nameserver 192.0.2.1\n"}, []string{"192.0.2.1"}},
		"mixed":         {map[string]string{resolvConf: "nameserver 127.0.0.1\nnameserver 192.0.2.1\n"}, []string{"192.0.2.1"}},
		"only loopback": {map[string]string{resolvConf: "nameserver ::1\n"}, nil},
		"empty":         {map[string]string{resolvConf: ""}, nil},
		"no file":       {nil, nil},
		"the cluster's": {map[string]string{resolvConf: "nameserver 10.96.0.10\nsearch svc.cluster.local\n"}, nil},
		"both":          {map[string]string{resolvConf: "nameserver 10.96.0.10\nnameserver 192.0.2.1\n"}, []string{"192.0.2.1"}},
		"behind a stub": {map[string]string{resolvConf: "nameserver 127.0.0.53\n", systemdConf: "nameserver ::ffff:10.96.0.10\nnameserver 192.0.2.1\n"}, []string{"192.0.2.1"}},
	} {
		got := Upstreams(func(p string) ([]byte, error) {
			if s, ok := c.files[p]; ok {
				return []byte(s), nil
			}
			return nil, os.ErrNotExist
		}, netip.MustParseAddr("10.96.0.10"))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestManifestsAreComplete(t *testing.T) {
	objs := Manifests(ManifestOptions{Image: "hyperkube:v1", ServiceIP: netip.MustParseAddr("10.32.0.10"),
		Corefile: CorefileOptions{Upstreams: []string{resolvConf}}})
	for _, o := range objs {
		if o.GetObjectKind().GroupVersionKind().Kind == "" {
			t.Errorf("%T has no kind", o)
		}
	}
	cm := objs[3].(*corev1.ConfigMap)
	if s, err := New(Options{Corefile: cm.Data["Corefile"], Log: slog.Default()}); err != nil || s == nil {
		t.Error(err)
	}
	if !strings.Contains(cm.Data["Corefile"], "forward . /etc/resolv.conf") || !strings.Contains(cm.Data["Corefile"], "    loop\n") {
		t.Error(cm.Data["Corefile"])
	}
}
