package scheduler

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hyperkube/scheduler/framework"
)

// metrics carry the names that dashboards know.
type metrics struct {
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scheduler_schedule_attempts_total",
			Help: "Attempts to schedule pods, by result: scheduled, unschedulable or error.",
		}, []string{"profile", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "scheduler_scheduling_attempt_duration_seconds",
			Help:    "Time from taking a pod from the queue to its binding, or to the decision that it fits nowhere.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18),
		}, []string{"profile", "result"}),
	}
	if reg != nil {
		reg.MustRegister(m.attempts, m.duration)
	}
	return m
}

const profile = "default-scheduler"

func (m *metrics) attempt(result string, took time.Duration) {
	m.attempts.WithLabelValues(profile, result).Inc()
	m.duration.WithLabelValues(profile, result).Observe(took.Seconds())
}

func terminating(p *framework.Pod) bool { return p.DeletionTimestamp != nil }
