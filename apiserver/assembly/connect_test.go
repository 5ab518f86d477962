package assembly_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/remotecommand"
	streaming "k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"hyperkube/internal/pki"
)

// echo runs every command as cat.
type echo struct{}

func (echo) ExecInContainer(_ context.Context, _, _, _ string, _ []string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan streaming.TerminalSize, _ time.Duration) error {
	_, err := io.Copy(out, in)
	return err
}

// fakeKubelet serves with the node's certificate and wants the server's.
func (c *cluster) fakeKubelet(t *testing.T, node string) int32 {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "seen by", r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	mux.HandleFunc("/exec/{ns}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		streaming.ServeExec(w, r, echo{}, "", "", "", r.URL.Query()["command"], &streaming.Options{Stdin: true, Stdout: true}, time.Minute, 5*time.Second, streaming.SupportedStreamingProtocols)
	})
	p := c.files.Kubelets[node]
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{p.Cert.Raw}, PrivateKey: p.Key}},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.files.CA.Pool()}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return int32(n)
}

// TestConnections reach a kubelet through the whole server.
func TestConnections(t *testing.T) {
	c, ctx := start(t), t.Context()
	cfg := c.config(t, pki.ConfAdmin)
	admin := c.client(t, cfg)
	got(admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}))(t)
	node := got(admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}))(t)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = c.fakeKubelet(t, "n1")
	got(admin.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}))(t)
	got(admin.CoreV1().Pods("default").Create(ctx, pod("p", "n1"), metav1.CreateOptions{}))(t)

	log := got(admin.CoreV1().Pods("default").GetLogs("p", &corev1.PodLogOptions{}).DoRaw(ctx))(t)
	if string(log) != "seen by kube-apiserver-kubelet-client\n" {
		t.Errorf("log %q", log)
	}
	path := c.url + "/api/v1/namespaces/default/pods/p/exec?command=cat&stdin=true&stdout=true"
	u := got(url.Parse(path))(t)
	for name, e := range map[string]remotecommand.Executor{
		"websocket": got(remotecommand.NewWebSocketExecutor(cfg, "GET", path))(t), "spdy": got(remotecommand.NewSPDYExecutor(cfg, "POST", u))(t),
	} {
		var out bytes.Buffer
		err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out})
		if err != nil || out.String() != "hello" {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}
