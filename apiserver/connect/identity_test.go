package connect_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/connect"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/internal/pki"
)

// A node says where its kubelet is; it cannot lead the API server to another
// node's kubelet or to an API server, by no way that reaches kubelets, and not over
// a connection that was opened for the node that is really there.
func TestKubeletsAreWhoTheyAre(t *testing.T) {
	ca, err := pki.NewCA("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	local := []net.IP{net.IPv4(127, 0, 0, 1)}
	for name, c := range map[string]struct {
		leaf   pki.Leaf
		refuse string
	}{
		"its own":       {pki.NodeServer(pki.Node{Name: "n1"}), ""},
		"made by hand":  {pki.Leaf{CommonName: "kubelet", Server: true, IPs: local}, ""},
		"another node":  {pki.NodeServer(pki.Node{Name: "n2"}), `the certificate of node \"n2\"`},
		"an API server": {pki.Leaf{CommonName: "kube-apiserver", Server: true, IPs: local, DNSNames: []string{"kubernetes.default.svc"}}, "the certificate of an API server"},
	} {
		t.Run(name, func(t *testing.T) {
			h := reach(t, ca, c.leaf)
			if name == "another node" { // the true one is spoken to first
				if body := ask(t, h, "-/nodes/n2/proxy/metrics"); !strings.Contains(body, "GET /metrics") {
					t.Fatal(body)
				}
			}
			for _, path := range []string{"-/nodes/n1/proxy/metrics", "a/pods/p/log", "a/pods/p/exec?command=x&stdout=1", "a/pods/p/portforward"} {
				body := ask(t, h, path)
				if got := strings.Contains(body, c.refuse) || strings.Contains(body, strings.ReplaceAll(c.refuse, `\"`, `"`)); c.refuse != "" && !got {
					t.Errorf("%s: %s", path, body)
				}
				if c.refuse == "" && strings.Contains(body, "certificate") {
					t.Errorf("%s: %s", path, body)
				}
			}
		})
	}
}

// reach is a handler with nodes n1 and n2, both at the address of a server with
// the certificate.
func reach(t *testing.T, ca *pki.CA, leaf pki.Leaf) http.Handler {
	t.Helper()
	p, err := ca.Issue(leaf, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	k := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Method, r.URL.Path) }))
	k.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{p.Cert.Raw}, PrivateKey: p.Key}}}
	k.Config.ErrorLog = nil
	k.StartTLS()
	t.Cleanup(k.Close)
	host, port, _ := net.SplitHostPort(k.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	s := storetest.New("nodes", "pods", "services", "endpointslices.discovery.k8s.io")
	for _, name := range []string{"n1", "n2"} {
		s.Put("nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(n)}}}})
	}
	s.Put("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}, Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c"}}}})
	h, err := connect.New(connect.Deps{Reader: s, KubeletCAs: ca.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func ask(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(request.WithInfo(r.Context(), parse(r.URL.Path))))
	}))
	defer front.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, front.URL+"/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(path, "proxy") || strings.Contains(path, "log") {
		r.Method = http.MethodGet
	} else {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "SPDY/3.1")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
