package kit

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the queues of one role do, under the standard workqueue_*
// names, in the registry of that role.
type Metrics struct {
	adds, retries  *prometheus.CounterVec
	waited, worked *prometheus.HistogramVec
	depth          *prometheus.Desc
	unfinished     *prometheus.Desc
	longest        *prometheus.Desc

	mu     sync.Mutex
	queues map[string]*queueStats
}

type queueStats struct {
	adds, retries  prometheus.Counter
	waited, worked prometheus.Observer
	read           func() (depth int, unfinished, longest time.Duration)
}

// NewMetrics registers the metrics, or returns those registered before. A nil
// registerer gives nil, which every user of Metrics takes for "do not count".
func NewMetrics(reg prometheus.Registerer) *Metrics {
	if reg == nil {
		return nil
	}
	label := []string{"name"}
	buckets := prometheus.ExponentialBuckets(1e-8, 10, 10)
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, label)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, label)
	}
	m := &Metrics{
		adds:       counter("workqueue_adds_total", "Keys added to the queue."),
		retries:    counter("workqueue_retries_total", "Keys added again after a failure."),
		waited:     histogram("workqueue_queue_duration_seconds", "How long a key waits before it is worked on."),
		worked:     histogram("workqueue_work_duration_seconds", "How long the work on a key takes."),
		depth:      prometheus.NewDesc("workqueue_depth", "Keys waiting now.", label, nil),
		unfinished: prometheus.NewDesc("workqueue_unfinished_work_seconds", "Time spent so far on keys being worked on.", label, nil),
		longest: prometheus.NewDesc("workqueue_longest_running_processor_seconds",
			"Time spent so far on the key that has been worked on longest.", label, nil),
		queues: map[string]*queueStats{},
	}
	if err := reg.Register(m); err != nil {
		var have prometheus.AlreadyRegisteredError
		if errors.As(err, &have) {
			if old, ok := have.ExistingCollector.(*Metrics); ok {
				return old
			}
		}
		return nil
	}
	return m
}

// queue returns the counters of a named queue.
func (m *Metrics) queue(name string) *queueStats {
	if m == nil {
		return nil
	}
	s := &queueStats{
		adds: m.adds.WithLabelValues(name), retries: m.retries.WithLabelValues(name),
		waited: m.waited.WithLabelValues(name), worked: m.worked.WithLabelValues(name),
	}
	m.mu.Lock()
	m.queues[name] = s
	m.mu.Unlock()
	return s
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range []prometheus.Collector{m.adds, m.retries, m.waited, m.worked} {
		v.Describe(ch)
	}
	ch <- m.depth
	ch <- m.unfinished
	ch <- m.longest
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, v := range []prometheus.Collector{m.adds, m.retries, m.waited, m.worked} {
		v.Collect(ch)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, s := range m.queues {
		depth, unfinished, longest := s.read()
		ch <- prometheus.MustNewConstMetric(m.depth, prometheus.GaugeValue, float64(depth), name)
		ch <- prometheus.MustNewConstMetric(m.unfinished, prometheus.GaugeValue, unfinished.Seconds(), name)
		ch <- prometheus.MustNewConstMetric(m.longest, prometheus.GaugeValue, longest.Seconds(), name)
	}
}
