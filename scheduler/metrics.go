package scheduler

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hyperkube/scheduler/queue"
)

// metrics carry the names that dashboards know.
type metrics struct {
	attempts    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	algorithm   prometheus.Histogram
	tries       prometheus.Histogram
	sli         *prometheus.HistogramVec
	preemptions prometheus.Counter
	victims     prometheus.Histogram
	incoming    *prometheus.CounterVec
	gated       prometheus.Gauge
}

func newMetrics() *metrics {
	return &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "scheduler_schedule_attempts_total",
			Help: "Attempts to schedule pods, by result: scheduled, unschedulable or error."}, []string{"profile", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "scheduler_scheduling_attempt_duration_seconds",
			Help:    "Time from taking a pod from the queue to its binding, or to the decision that it fits nowhere.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18)}, []string{"profile", "result"}),
		algorithm: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "scheduler_scheduling_algorithm_duration_seconds",
			Help: "Time to decide where a pod goes, without writing it.", Buckets: prometheus.ExponentialBuckets(0.00001, 2, 18)}),
		tries: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "scheduler_pod_scheduling_attempts",
			Help: "Attempts that a pod took until it was scheduled.", Buckets: prometheus.ExponentialBuckets(1, 2, 5)}),
		sli: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "scheduler_pod_scheduling_sli_duration_seconds",
			Help:    "Time from when a pod could first be scheduled until it was.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 24)}, []string{"attempts"}),
		preemptions: prometheus.NewCounter(prometheus.CounterOpts{Name: "scheduler_preemption_attempts_total",
			Help: "Attempts to make room for a pod by removing others."}),
		victims: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "scheduler_preemption_victims",
			Help: "Pods removed for one other.", Buckets: prometheus.ExponentialBuckets(1, 2, 7)}),
		incoming: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "scheduler_queue_incoming_pods_total",
			Help: "Pods put into a queue, by queue and by what put them there."}, []string{"event", "queue"}),
		gated: prometheus.NewGauge(prometheus.GaugeOpts{Name: "scheduler_pending_pods", ConstLabels: prometheus.Labels{"queue": "gated"},
			Help: pendingHelp}),
	}
}

func (m *metrics) register(reg prometheus.Registerer, q *queue.Queue) error {
	for _, c := range []prometheus.Collector{
		m.attempts, m.duration, m.algorithm, m.tries, m.sli, m.preemptions, m.victims, m.incoming, m.gated, newSizes(q),
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) result(profile, result string, took time.Duration) {
	m.attempts.WithLabelValues(profile, result).Inc()
	m.duration.WithLabelValues(profile, result).Observe(took.Seconds())
}

// mostAttempts is how far attempts are told apart.
const mostAttempts = 15

func (m *metrics) scheduled(attempts int, waited time.Duration) {
	m.tries.Observe(float64(attempts))
	label := strconv.Itoa(attempts)
	if attempts > mostAttempts {
		label = strconv.Itoa(mostAttempts) + "+"
	}
	m.sli.WithLabelValues(label).Observe(waited.Seconds())
}

func (m *metrics) moved(part, event string) { m.incoming.WithLabelValues(event, part).Inc() }

const pendingHelp = "Pods that wait, by queue: active, backoff, unschedulable or gated."

// sizes are read from the queue when they are asked for.
type sizes struct {
	queue                  *queue.Queue
	pending, unschedulable *prometheus.Desc
}

func newSizes(q *queue.Queue) sizes {
	return sizes{
		queue:         q,
		pending:       prometheus.NewDesc("scheduler_pending_pods", pendingHelp, []string{"queue"}, nil),
		unschedulable: prometheus.NewDesc("scheduler_unschedulable_pods", "Pods that wait, by a plugin that refused them.", []string{"plugin"}, nil),
	}
}

// Describe tells nothing: the gated queue's gauge shares a name with another label set.
func (s sizes) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s sizes) Collect(out chan<- prometheus.Metric) {
	st := s.queue.Stats()
	for name, n := range map[string]int{"active": st.Active, "backoff": st.Backoff, "unschedulable": st.Unschedulable} {
		out <- prometheus.MustNewConstMetric(s.pending, prometheus.GaugeValue, float64(n), name)
	}
	for plugin, n := range st.ByPlugin {
		out <- prometheus.MustNewConstMetric(s.unschedulable, prometheus.GaugeValue, float64(n), plugin)
	}
}
