package filters

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hyperkube/apiserver/request"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the standard ones of an API server. Series are looked up once for
// every kind of request and then kept, so that counting costs a map access.
type metrics struct {
	reads, writes atomic.Int64 // under way
	total         *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	size          *prometheus.HistogramVec
	long          *prometheus.GaugeVec
	refused       *prometheus.CounterVec
	authn         *prometheus.CounterVec
	series        sync.Map // seriesKey → *series
	known         func(*request.Info) bool
}

type seriesKey struct {
	verb, group, version, resource, sub, scope, dry string
}

type series struct {
	seconds, bytes prometheus.Observer
	long           prometheus.Gauge
	codes          sync.Map // int → prometheus.Counter
	gone           atomic.Bool
}

func newMetrics(reg prometheus.Registerer, known func(*request.Info) bool) *metrics {
	m := &metrics{
		known: known,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_request_total",
			Help: "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code."},
			[]string{"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_request_duration_seconds",
			Help:    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
			Buckets: []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60}},
			[]string{"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"}),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_response_sizes",
			Help:    "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
			Buckets: prometheus.ExponentialBuckets(1000, 10, 7)},
			[]string{"verb", "group", "version", "resource", "subresource", "scope", "component"}),
		long: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "apiserver_longrunning_requests",
			Help: "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way."},
			[]string{"verb", "group", "version", "resource", "subresource", "scope", "component"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_dropped_requests_total",
			Help: "Number of requests dropped with 'Try again later' response"}, []string{"request_kind"}),
		authn: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "authentication_attempts",
			Help: "Counter of authenticated attempts."}, []string{"result"}),
	}
	if reg == nil {
		return m
	}
	gauge := func(kind string, n *atomic.Int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "apiserver_current_inflight_requests",
			Help:        "Number of requests being processed, by kind.",
			ConstLabels: prometheus.Labels{"request_kind": kind}}, func() float64 { return float64(n.Load()) })
	}
	reg.MustRegister(m.total, m.duration, m.size, m.long, m.refused, m.authn, gauge("readOnly", &m.reads), gauge("mutating", &m.writes), gone{m})
	return m
}

func (m *metrics) refuse(i *request.Info) {
	kind := "mutating"
	if readOnly(i.Verb) {
		kind = "readOnly"
	}
	m.refused.WithLabelValues(kind).Inc()
}

func (m *metrics) authentication(ok, bad bool) {
	switch {
	case ok:
		m.authn.WithLabelValues("success").Inc()
	case bad:
		m.authn.WithLabelValues("error").Inc()
	default:
		m.authn.WithLabelValues("failure").Inc()
	}
}

func (m *metrics) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := request.InfoFrom(r.Context())
		key := m.keyOf(info, r)
		s := m.of(key)
		rec, start, code := record(w), time.Now(), http.StatusInternalServerError // of a panic
		if LongRunning(info) {
			s.long.Inc()
		}
		defer func() {
			if LongRunning(info) {
				s.long.Dec()
			} else {
				s.seconds.Observe(time.Since(start).Seconds())
				s.bytes.Observe(float64(rec.bytes))
			}
			m.count(s, key, code)
		}()
		next.ServeHTTP(rec, r)
		code = rec.status()
	})
}

// keyOf names the series of a request. Paths outside the API and resources that
// do not exist share one, so that clients cannot make series without end.
func (m *metrics) keyOf(i *request.Info, r *http.Request) seriesKey {
	k := seriesKey{verb: methodOf(r.Method)}
	if !i.IsResource || m.known != nil && !m.known(i) {
		return k
	}
	k.group, k.version, k.resource, k.sub = i.Group, i.Version, i.Resource, i.Subresource
	switch i.Verb {
	case "list":
		k.verb = "LIST"
	case "watch":
		k.verb = "WATCH"
	case "deletecollection":
		k.verb = "DELETECOLLECTION"
	case "patch":
		if r.Header.Get("Content-Type") == "application/apply-patch+yaml" {
			k.verb = "APPLY"
		}
	}
	switch {
	case i.Name != "":
		k.scope = "resource"
	case i.Namespace != "":
		k.scope = "namespace"
	default:
		k.scope = "cluster"
	}
	if r.URL.RawQuery != "" && strings.Contains(r.URL.RawQuery, "dryRun=All") {
		k.dry = "All"
	}
	return k
}

func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "OTHER"
}

func (m *metrics) of(k seriesKey) *series {
	if s, ok := m.series.Load(k); ok {
		return s.(*series)
	}
	s := &series{
		seconds: m.duration.WithLabelValues(k.verb, k.dry, k.group, k.version, k.resource, k.sub, k.scope, "apiserver"),
		bytes:   m.size.WithLabelValues(k.verb, k.group, k.version, k.resource, k.sub, k.scope, "apiserver"),
		long:    m.long.WithLabelValues(k.verb, k.group, k.version, k.resource, k.sub, k.scope, "apiserver"),
	}
	kept, _ := m.series.LoadOrStore(k, s)
	return kept.(*series)
}

func (m *metrics) count(s *series, k seriesKey, code int) {
	if s.gone.Load() {
		return
	}
	c, ok := s.codes.Load(code)
	if !ok {
		c = m.total.WithLabelValues(k.verb, k.dry, k.group, k.version, k.resource, k.sub, k.scope, "apiserver", strconv.Itoa(code))
		s.codes.Store(code, c)
	}
	c.(prometheus.Counter).Inc()
}
