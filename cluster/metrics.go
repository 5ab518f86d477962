package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"hyperkube/internal/trouble"
)

// registries holds one registry for each role of the process but the API
// server and the kubelet, which serve their own. Together they are one
// gatherer: the roles' metrics differ in name or in labels.
type registries struct {
	process *prometheus.Registry
	mu      sync.Mutex
	roles   map[string]*prometheus.Registry
}

func newRegistries() *registries {
	return &registries{process: ProcessRegistry(), roles: map[string]*prometheus.Registry{}}
}

// ProcessRegistry tells of the process itself: memory, descriptors, goroutines. A role that serves its own
// registry and is a process of its own starts from it.
func ProcessRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// fresh is an empty registry for a role that starts, in place of the one it had.
func (r *registries) fresh(role string) *prometheus.Registry {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roles[role] = prometheus.NewRegistry()
	return r.roles[role]
}

// failures is the metric of what a role tries again and again. It names the role, as several
// of them write events or hold leases.
func failures(role string, reg prometheus.Registerer) *prometheus.CounterVec {
	return trouble.Metric(prometheus.WrapRegistererWith(prometheus.Labels{"role": role}, reg))
}

// Gather implements prometheus.Gatherer.
func (r *registries) Gather() ([]*dto.MetricFamily, error) {
	r.mu.Lock()
	all := prometheus.Gatherers{r.process}
	for _, one := range r.roles {
		all = append(all, one)
	}
	r.mu.Unlock()
	return all.Gather()
}

// handler answers /metrics, /healthz and, for those who debug, /debug/pprof.
func (r *registries) handler(debug bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	if debug {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// buildMetrics serves the roles' metrics on loopback.
func (c *control) buildMetrics() (func(context.Context) error, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.o.MetricsPort)))
	if err != nil {
		return nil, fmt.Errorf("listening for those who read metrics: %w", err)
	}
	srv := &http.Server{Handler: c.registries.handler(c.o.LogLevel == "debug"), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		WriteTimeout: answerTime, MaxHeaderBytes: headBytes}
	return func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { srv.Close() })
		defer stop()
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving metrics: %w", err)
		}
		return nil
	}, nil
}
