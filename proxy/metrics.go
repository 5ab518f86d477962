package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have the names that dashboards for kube-proxy know.
type metrics struct {
	syncs     prometheus.Histogram
	latency   prometheus.Histogram
	last      prometheus.Gauge
	queued    prometheus.Gauge
	failures  prometheus.Counter
	endpoints prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kubeproxy_sync_proxy_rules_duration_seconds",
			Help: "Time that one change of the rules took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kubeproxy_network_programming_duration_seconds",
			Help: "Time from a change of a pod or service to the rules.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 16)}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
			Help: "When the rules were last brought up to date."}),
		queued: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
			Help: "When a change of the rules was last taken up."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
			Help: "Changes of the rules that failed."}),
		endpoints: prometheus.NewCounter(prometheus.CounterOpts{Name: "kubeproxy_sync_proxy_rules_service_changes_total",
			Help: "Services whose rules were computed anew."}),
	}
	r.MustRegister(m.syncs, m.latency, m.last, m.queued, m.failures, m.endpoints)
	return m
}

func (m *metrics) synced(start time.Time, triggers []time.Time, services int, err error) {
	now := time.Now()
	m.syncs.Observe(now.Sub(start).Seconds())
	m.queued.Set(float64(start.UnixMilli()) / 1000)
	m.endpoints.Add(float64(services))
	if err != nil {
		m.failures.Inc()
		return
	}
	m.last.Set(float64(now.UnixMilli()) / 1000)
	for _, t := range triggers {
		m.latency.Observe(max(0, now.Sub(t).Seconds()))
	}
}
