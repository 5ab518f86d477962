package kubelet

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/podworker"
	"hyperkube/kubelet/probe"
)

// metrics are the kubelet's own, with the names of the standard one.
type metrics struct {
	worker  *prometheus.HistogramVec
	total   *prometheus.CounterVec
	started prometheus.Counter
	failed  *prometheus.CounterVec
	boot    prometheus.Histogram
	probed  *prometheus.CounterVec
	probes  *prometheus.Registry
}

func newMetrics(reg *prometheus.Registry) *metrics {
	m := &metrics{
		worker: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "kubelet_runtime_operations_duration_seconds",
			Help: "Duration in seconds of runtime operations, by operation type.", Buckets: prometheus.ExponentialBuckets(.005, 2.5, 14)}, []string{"operation_type"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubelet_runtime_operations_total",
			Help: "Cumulative number of runtime operations, by operation type."}, []string{"operation_type"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubelet_runtime_operations_errors_total",
			Help: "Cumulative number of runtime operation errors, by operation type."}, []string{"operation_type"}),
		started: prometheus.NewCounter(prometheus.CounterOpts{Name: "kubelet_started_containers_total", Help: "Cumulative number of containers started."}),
		boot: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kubelet_pod_start_duration_seconds",
			Help: "Duration in seconds from the kubelet seeing a pod for the first time to the pod starting to run.", Buckets: prometheus.ExponentialBuckets(.05, 1.8, 14)}),
		probed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "prober_probe_total",
			Help: "Cumulative number of liveness, readiness or startup probes for a container, by result."},
			[]string{"probe_type", "result", "container", "pod", "namespace", "pod_uid"}),
		probes: prometheus.NewRegistry(),
	}
	reg.MustRegister(m.worker, m.total, m.failed, m.started, m.boot)
	m.probes.MustRegister(m.probed)
	return m
}

// called counts a call to the runtime.
func (m *metrics) called(operation string, took time.Duration, failed bool) {
	m.total.WithLabelValues(operation).Inc()
	m.worker.WithLabelValues(operation).Observe(took.Seconds())
	if failed {
		m.failed.WithLabelValues(operation).Inc()
	}
}

func (m *metrics) observer(started func()) podworker.Observer {
	return podworker.Observer{
		Started: func() {
			m.started.Inc()
			started()
		},
		Probe: func(pod *v1.Pod, container string, t probe.Type, r probe.Result) {
			result := [...]string{"unknown", "successful", "failed"}[r]
			m.probed.WithLabelValues(string(t), result, container, pod.Name, pod.Namespace, string(pod.UID)).Inc()
		},
		Booted: func(took time.Duration) { m.boot.Observe(took.Seconds()) },
	}
}
