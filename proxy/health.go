package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/internal/turnstile"
	"hyperkube/kit"
)

const (
	shutdownTime = 2 * time.Second
	portRetry    = 10 * time.Second
	// Anybody may ask: nobody keeps a connection for longer than an answer takes, or idle.
	requestTime = 30 * time.Second
	idleTime    = 30 * time.Second
)

// health answers for the proxy and, on their health check node ports, for services
// with external traffic policy Local: does this node have an endpoint?
type health struct {
	log  *slog.Logger
	tell *trouble.Teller
	mu   sync.Mutex
	last time.Time
	want map[kit.Key]localService
	open map[kit.Key]*http.Server
	bell chan struct{}
	gate *turnstile.Gate // of all health check node ports
}

type localService struct {
	port      int32
	endpoints int
}

func newHealth(log *slog.Logger, tell *trouble.Teller) *health {
	return &health{log: log, tell: tell, want: map[kit.Key]localService{}, open: map[kit.Key]*http.Server{}, bell: make(chan struct{}, 1),
		gate: turnstile.New(turnstile.Share(), log)}
}

func (h *health) healthy(at time.Time) {
	h.mu.Lock()
	h.last = at
	h.mu.Unlock()
}

func (h *health) lastSync() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// published collects the services with a health check node port.
type published struct{ changed map[kit.Key]localService }

func (p *published) update(k kit.Key, svc *corev1.Service, ports []Port) {
	if p.changed == nil {
		p.changed = map[kit.Key]localService{}
	}
	s := localService{}
	if svc != nil && svc.Spec.HealthCheckNodePort != 0 && len(ports) > 0 {
		s.port = svc.Spec.HealthCheckNodePort
		for i := range ports {
			// Those that end are served while there is no other, but a load balancer that asks
			// must turn to other nodes before they are gone.
			s.endpoints = max(s.endpoints, ports[i].LocalReady)
		}
	}
	p.changed[k] = s
}

func (p *published) apply(h *health) {
	h.mu.Lock()
	for k, s := range p.changed {
		if s.port == 0 {
			delete(h.want, k)
		} else {
			h.want[k] = s
		}
	}
	clear(p.changed)
	h.mu.Unlock()
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// run opens and closes the health check node ports.
func (h *health) run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	defer h.closeAll()
	for {
		var again <-chan time.Time
		if err := h.adjust(ctx, &serving); err != nil {
			h.tell.Failed(err)
			again = time.After(portRetry)
		} else {
			h.tell.Well()
		}
		select {
		case <-h.bell:
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// adjust opens and closes ports; one that is in use is tried again.
func (h *health) adjust(ctx context.Context, serving *sync.WaitGroup) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs error
	for k, srv := range h.open {
		if w, ok := h.want[k]; !ok || srv.Addr != portAddr(w.port) {
			_ = srv.Close()
			delete(h.open, k)
		}
	}
	for k, w := range h.want {
		if h.open[k] != nil {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", portAddr(w.port))
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("service %s: %w", k, err))
			continue
		}
		srv := &http.Server{Addr: portAddr(w.port), Handler: h.forService(k), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime}
		h.open[k] = srv
		serving.Go(func() {
			// Handlers are contained by the server itself.
			if err := supervise.Contain("health check node port", func() error { return srv.Serve(h.gate.Bound(l)) }); !errors.Is(err, http.ErrServerClosed) {
				h.log.Warn("a health check node port ended", "service", k, "port", w.port, "err", err)
			}
		})
	}
	return errs
}

func (h *health) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, srv := range h.open {
		_ = srv.Close()
		delete(h.open, k)
	}
}

func portAddr(p int32) string { return ":" + strconv.Itoa(int(p)) }

func (h *health) forService(k kit.Key) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		n := h.want[k].endpoints
		h.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(n))
		if n == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, `{"service":{"namespace":%q,"name":%q},"localEndpoints":%d,"serviceProxyHealthy":true}`, k.Namespace, k.Name, n)
	})
}

// ownPorts are the numbers of the proxy's own ports.
func (p *Proxy) ownPorts() []HostPort {
	var out []HostPort
	for _, s := range p.servers {
		if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
			out = append(out, HostPort{corev1.ProtocolTCP, uint16(a.Port)})
		}
	}
	return out
}

// server is one of the proxy's own ports.
type server struct {
	listener net.Listener
	handler  http.Handler
}

// listen takes the proxy's own ports.
func (p *Proxy) listen() error {
	healthz, metrics := http.NewServeMux(), http.NewServeMux()
	healthz.HandleFunc("/healthz", p.healthz)
	healthz.HandleFunc("/livez", p.healthz)
	metrics.HandleFunc("/healthz", p.healthz)
	metrics.HandleFunc("/proxyMode", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "nftables") })
	metrics.Handle("/metrics", promhttp.HandlerFor(p.o.Metrics, promhttp.HandlerOpts{}))
	for _, a := range []struct {
		address, fallback string
		handler           http.Handler
	}{{p.o.HealthzAddress, "0.0.0.0:10256", healthz}, {p.o.MetricsAddress, "127.0.0.1:10249", metrics}} {
		if a.address == "-" {
			continue
		}
		l, err := net.Listen("tcp", cmp.Or(a.address, a.fallback))
		if err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
		p.servers = append(p.servers, &server{turnstile.New(turnstile.Share(), p.o.Log).Bound(l), a.handler})
	}
	return nil
}

func (s *server) run(ctx context.Context) error {
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime}
	result := make(chan error, 1)
	go func() { result <- supervise.Contain("proxy server", func() error { return srv.Serve(s.listener) }) }()
	select {
	case err := <-result:
		return fmt.Errorf("serving %s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) { // somebody who does not hang up
		err = srv.Close()
	}
	<-result
	return err
}

func (p *Proxy) healthz(w http.ResponseWriter, _ *http.Request) {
	last := p.health.lastSync()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if last.IsZero() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"lastUpdated": last.UTC().String(),
		"currentTime": time.Now().UTC().String(), "nodeEligible": !last.IsZero()})
}
