package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type operation int

const (
	opCreate operation = iota
	opUpdate
	opDelete
	opList
	operations
)

func (o operation) String() string {
	return [...]string{"create", "update", "delete", "list"}[o]
}

// metrics are those of all collections, under the names that dashboards know.
type metrics struct {
	store      *Store
	registerer prometheus.Registerer
	duration   *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	errors     *prometheus.CounterVec
	received   *prometheus.CounterVec
	dispatched *prometheus.CounterVec
	terminated *prometheus.CounterVec
	watchers   *prometheus.GaugeVec
	restarts   prometheus.Counter
	// uncompacted counts rounds of compaction that failed.
	uncompacted prometheus.Counter
	all         []prometheus.Collector
}

// resourceMetrics are one collection's, looked up once.
type resourceMetrics struct {
	duration                         [operations]prometheus.Observer
	requests, errors                 [operations]prometheus.Counter
	received, dispatched, terminated prometheus.Counter
	watchers                         prometheus.Gauge
}

func newMetrics(s *Store, r prometheus.Registerer) (*metrics, error) {
	byOperation := []string{"operation", "group", "resource"}
	byResource := []string{"group", "resource"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		store: s, registerer: r,
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "etcd_request_duration_seconds", Help: "Time an etcd request took, by operation and resource.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 10, 30, 60},
		}, byOperation),
		requests:   counter("etcd_requests_total", "Requests made to etcd, by operation and resource.", byOperation),
		errors:     counter("etcd_request_errors_total", "Requests to etcd that failed, by operation and resource.", byOperation),
		received:   counter("apiserver_watch_cache_events_received_total", "Changes received from etcd.", byResource),
		dispatched: counter("apiserver_watch_cache_events_dispatched_total", "Events queued for watchers.", byResource),
		terminated: counter("apiserver_terminated_watchers_total", "Watchers ended because they did not keep up.", byResource),
		watchers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hyperkube_store_watchers", Help: "Watchers of the store now.",
		}, byResource),
	}
	m.restarts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hyperkube_store_watch_restarts_total", Help: "How often the store's watch of etcd ended and was started again.",
	})
	m.uncompacted = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hyperkube_store_compaction_failures_total", Help: "How often etcd's history could not be compacted.",
	})
	m.all = []prometheus.Collector{m.duration, m.requests, m.errors, m.received, m.dispatched, m.terminated, m.watchers, m.restarts, m.uncompacted, &state{s}}
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, done := range m.all[:i] {
				r.Unregister(done)
			}
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) of(r *Resource) resourceMetrics {
	var out resourceMetrics
	for o := range operations {
		out.duration[o] = m.duration.WithLabelValues(o.String(), r.Group, r.Name)
		out.requests[o] = m.requests.WithLabelValues(o.String(), r.Group, r.Name)
		out.errors[o] = m.errors.WithLabelValues(o.String(), r.Group, r.Name)
	}
	out.received = m.received.WithLabelValues(r.Group, r.Name)
	out.dispatched = m.dispatched.WithLabelValues(r.Group, r.Name)
	out.terminated = m.terminated.WithLabelValues(r.Group, r.Name)
	out.watchers = m.watchers.WithLabelValues(r.Group, r.Name)
	return out
}

// forget drops what is counted of a resource that is gone.
func (m *metrics) forget(r *Resource) {
	for o := range operations {
		m.duration.DeleteLabelValues(o.String(), r.Group, r.Name)
		m.requests.DeleteLabelValues(o.String(), r.Group, r.Name)
		m.errors.DeleteLabelValues(o.String(), r.Group, r.Name)
	}
	for _, c := range []*prometheus.MetricVec{m.received.MetricVec, m.dispatched.MetricVec, m.terminated.MetricVec, m.watchers.MetricVec} {
		c.DeleteLabelValues(r.Group, r.Name)
	}
}

func (m *resourceMetrics) request(o operation, began time.Time, err error) {
	m.duration[o].Observe(time.Since(began).Seconds())
	m.requests[o].Inc()
	if err != nil {
		m.errors[o].Inc()
	}
}

// state reads gauges off the collections when it is asked.
type state struct{ s *Store }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector by describing nothing: what there
// is depends on the resources registered.
func (*state) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g *state) Collect(out chan<- prometheus.Metric) {
	select {
	case <-g.s.closed: // a collector that describes nothing cannot be unregistered
		return
	default:
	}
	byName := desc("apiserver_storage_objects", "Objects stored, by resource.", "resource")
	byGroup := desc("apiserver_resource_objects", "Objects stored, by group and resource.", "group", "resource")
	unreadable := desc("hyperkube_store_unreadable_objects", "Objects stored that cannot be read, by resource.", "group", "resource")
	revision := desc("apiserver_watch_cache_resource_version", "Revision of the snapshot, by resource.", "group", "resource")
	capacity := desc("apiserver_watch_cache_capacity", "Changes the ring has room for, by resource.", "group", "resource")
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, c := range g.s.collections() {
		snap := c.snap.Load()
		full := c.res.Name
		if c.res.Group != "" {
			full += "." + c.res.Group
		}
		gauge(byName, float64(snap.tree.Len()), full)
		gauge(byGroup, float64(snap.tree.Len()), c.res.Group, c.res.Name)
		if n := snap.brokens.len(); n > 0 {
			gauge(unreadable, float64(n), c.res.Group, c.res.Name)
		}
		gauge(revision, float64(max(snap.rev, g.s.applied.Load())), c.res.Group, c.res.Name)
		c.mu.Lock()
		room := len(c.ring.buf)
		c.mu.Unlock()
		gauge(capacity, float64(room), c.res.Group, c.res.Name)
	}
	if e := g.s.opts.Etcd; e != nil {
		total, _ := e.Size()
		open := 1.0
		if e.Admit(0, false) != nil {
			open = 0
		}
		gauge(desc("hyperkube_store_writable", "Whether the disk has room for writes (1) or they are refused (0)."), open)
		gauge(desc("apiserver_storage_size_bytes", "Size of the database file.", "storage_cluster_id"), float64(total), e.ClusterID())
	}
}
