package apiserver

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestShutdown: watches over a socket and inside the process end when the server
// is told to stop, and Run returns without an error.
func TestShutdown(t *testing.T) {
	s, _ := newTestServer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair := selfSigned(t)
	s.o.Listener, s.o.TLS = ln, TLS{Certificate: &pair}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	resp, err := client.Get("https://" + ln.Addr().String() + "/api/v1/pods?watch=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("%s over TLS %x", resp.Proto, resp.TLS.Version)
	}
	inside, err := kubernetes.NewForConfigOrDie(s.ClientConfig(admin)).CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the watch did not end cleanly: %v", err)
	}
	for range inside.ResultChan() {
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestCancelInside: a watch inside the process ends when its reader stops.
func TestCancelInside(t *testing.T) {
	s, _ := newTestServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pods := kubernetes.NewForConfigOrDie(s.ClientConfig(admin)).CoreV1().Pods("")
	w, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	for range w.ResultChan() {
	}
	gone, stop := context.WithCancel(ctx)
	stop()
	if _, err := pods.List(gone, metav1.ListOptions{}); err == nil {
		t.Error("a cancelled request succeeded")
	}
}

// TestSlowBody: a body that never ends does not hold a request for ever.
func TestSlowBody(t *testing.T) {
	s, _ := newTestServer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair := selfSigned(t)
	s.o.Listener, s.o.TLS = ln, TLS{Certificate: &pair}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Ready()
	for _, h2 := range []bool{true, false} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2}}
		body, end := io.Pipe()
		resp, err := client.Post("https://"+ln.Addr().String()+"/api/v1/namespaces/d/configmaps?timeout=50ms", "application/json", body)
		end.Close()
		if err == nil {
			resp.Body.Close()
		}
		if err != nil || resp.StatusCode < 400 {
			t.Errorf("http/2 %v: %v %v", h2, resp, err)
		}
		client.CloseIdleConnections()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
