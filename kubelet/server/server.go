// Package server is what the kubelet serves on port 10250: what runs, logs, exec, attach, port-forward, statistics
// and metrics. Every request but the health check of the process is authenticated and authorized.
//
//	request ─▶ authenticate (client certificate, or token by TokenReview) ─▶ authorize (nodes/<sub>, by SubjectAccessReview)
//	        ─▶ handler ─▶ CRI (streams are passed through to the runtime's own streaming address)
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"hyperkube/internal/turnstile"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/logs"
	"hyperkube/kubelet/podworker"
)

// Pods is what the server knows of pods.
type Pods interface {
	States() []podworker.State
	Find(namespace, name string, uid types.UID) (podworker.State, bool)
}

// Options configures a server.
type Options struct {
	Address  string
	Port     int
	TLS      *tls.Config // with ClientCAs where client certificates count; self-signed when nil
	Auth     Auth        // by Kube's review APIs when zero
	Kube     kubernetes.Interface
	NodeName string
	Pods     Pods
	Client   *cri.Client
	LogRoot  string
	Registry *prometheus.Registry
	Probes   *prometheus.Registry
	Config   any // shown by /configz
	Log      *slog.Logger
}

// Server serves one kubelet.
type Server struct {
	o       Options
	handler http.Handler
	logs    logs.Reader
}

// New returns a server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.TLS == nil {
		c, err := selfSigned(o.NodeName)
		if err != nil {
			return nil, fmt.Errorf("kubelet serving certificate: %w", err)
		}
		o.TLS = c
	}
	if o.Auth.Authenticate == nil {
		o.Auth = Reviews(o.Kube)
	}
	s := &Server{o: o}
	s.handler = s.guard(s.mux())
	return s, nil
}

// Handler is the whole server without a listener.
func (s *Server) Handler() http.Handler { return s.handler }

// Run listens until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	conf := s.o.TLS.Clone()
	if conf.MinVersion == 0 {
		conf.MinVersion = tls.VersionTLS12
	}
	if conf.ClientCAs != nil && conf.ClientAuth == tls.NoClientCert {
		conf.ClientAuth = tls.VerifyClientCertIfGiven
	}
	conf.NextProtos = []string{"http/1.1"} // streams need to take over the connection
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(s.o.Address, strconv.Itoa(s.o.Port)))
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 90 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		_ = srv.Close() // followers of logs and open streams would wait for ever
	}()
	err = srv.Serve(tls.NewListener(turnstile.New(turnstile.Share(), s.o.Log).Bound(l), conf))
	<-done
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// mux is the one list of paths.
func (s *Server) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	m.HandleFunc("/healthz/{check}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	m.HandleFunc("GET /pods", s.pods)
	m.HandleFunc("GET /pods/", s.pods)
	m.HandleFunc("GET /runningpods/", s.pods)
	m.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", s.containerLogs)
	m.HandleFunc("/exec/{ns}/{pod}/{container}", s.exec)
	m.HandleFunc("/exec/{ns}/{pod}/{uid}/{container}", s.exec)
	m.HandleFunc("/attach/{ns}/{pod}/{container}", s.attach)
	m.HandleFunc("/attach/{ns}/{pod}/{uid}/{container}", s.attach)
	m.HandleFunc("/portForward/{ns}/{pod}", s.portForward)
	m.HandleFunc("/portForward/{ns}/{pod}/{uid}", s.portForward)
	m.HandleFunc("POST /run/{ns}/{pod}/{container}", s.run)
	m.HandleFunc("POST /run/{ns}/{pod}/{uid}/{container}", s.run)
	m.HandleFunc("/stats/summary", s.summary)
	m.Handle("GET /metrics", promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{}))
	m.Handle("GET /metrics/probes", promhttp.HandlerFor(s.o.Probes, promhttp.HandlerOpts{}))
	m.HandleFunc("GET /metrics/resource", s.resourceMetrics)
	m.HandleFunc("GET /configz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"kubeletconfig": s.o.Config})
	})
	return m
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

func (s *Server) pods(w http.ResponseWriter, _ *http.Request) {
	list := v1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []v1.Pod{}}
	for _, st := range s.o.Pods.States() {
		list.Items = append(list.Items, *st.Pod)
	}
	writeJSON(w, list)
}

// find looks up the pod that a request names; it answers the request itself when there is none.
func (s *Server) find(w http.ResponseWriter, r *http.Request) (podworker.State, bool) {
	ns, name := r.PathValue("ns"), r.PathValue("pod")
	st, ok := s.o.Pods.Find(ns, name, types.UID(r.PathValue("uid")))
	if !ok {
		http.Error(w, fmt.Sprintf("pod does not exist: %s_%s", name, ns), http.StatusNotFound)
	}
	return st, ok
}
