package server

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"hyperkube/kubelet/cri"
)

func (s *Server) sandboxStats(ctx context.Context) ([]*runtimeapi.PodSandboxStats, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	resp, err := s.o.Client.Runtime.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
	if err != nil {
		return nil, err
	}
	return resp.Stats, nil
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	list, err := s.sandboxStats(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out := stats.Summary{Node: nodeStats(s.o.NodeName), Pods: []stats.PodStats{}}
	for _, p := range list {
		id, ok := cri.IDOf(p.Attributes.GetLabels())
		if !ok {
			continue
		}
		ps := stats.PodStats{PodRef: stats.PodReference{Name: id.Name, Namespace: id.Namespace, UID: id.UID},
			CPU: cpu(p.Linux.GetCpu()), Memory: memory(p.Linux.GetMemory())}
		for _, c := range p.Linux.GetContainers() {
			ps.Containers = append(ps.Containers, stats.ContainerStats{Name: c.Attributes.GetMetadata().GetName(), CPU: cpu(c.Cpu), Memory: memory(c.Memory)})
		}
		if n := p.Linux.GetNetwork().GetDefaultInterface(); n != nil {
			ps.Network = &stats.NetworkStats{Time: at(p.Linux.Network.Timestamp), InterfaceStats: stats.InterfaceStats{
				Name: n.Name, RxBytes: value(n.RxBytes), RxErrors: value(n.RxErrors), TxBytes: value(n.TxBytes), TxErrors: value(n.TxErrors)}}
		}
		if n := p.Linux.GetProcess().GetProcessCount(); n != nil {
			ps.ProcessStats = &stats.ProcessStats{ProcessCount: &n.Value}
		}
		out.Pods = append(out.Pods, ps)
	}
	writeJSON(w, out)
}

func at(ns int64) metav1.Time { return metav1.Time{Time: time.Unix(0, ns)} }

func value(v *runtimeapi.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

func cpu(c *runtimeapi.CpuUsage) *stats.CPUStats {
	if c == nil {
		return nil
	}
	return &stats.CPUStats{Time: at(c.Timestamp), UsageNanoCores: value(c.UsageNanoCores), UsageCoreNanoSeconds: value(c.UsageCoreNanoSeconds)}
}

func memory(m *runtimeapi.MemoryUsage) *stats.MemoryStats {
	if m == nil {
		return nil
	}
	return &stats.MemoryStats{Time: at(m.Timestamp), AvailableBytes: value(m.AvailableBytes), UsageBytes: value(m.UsageBytes),
		WorkingSetBytes: value(m.WorkingSetBytes), RSSBytes: value(m.RssBytes), PageFaults: value(m.PageFaults), MajorPageFaults: value(m.MajorPageFaults)}
}

// ticks is the unit of /proc/stat on every architecture we run on.
const ticks = 100

// machine reads the CPU time and working set of the whole machine.
func machine() (cpuNanos, workingSet, available uint64) {
	if data, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := strings.Cut(string(data), "\n")
		for i, f := range strings.Fields(line) {
			if i == 0 || i == 4 || i == 5 || i > 8 { // idle and iowait are no use; guests are counted already
				continue
			}
			n, _ := strconv.ParseUint(f, 10, 64)
			cpuNanos += n * uint64(time.Second/ticks)
		}
	}
	var total uint64
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			n, _ := strconv.ParseUint(f[1], 10, 64)
			switch f[0] {
			case "MemTotal:":
				total = n << 10
			case "MemAvailable:":
				available = n << 10
			}
		}
	}
	return cpuNanos, total - available, available
}

func nodeStats(name string) stats.NodeStats {
	c, ws, free := machine()
	now := metav1.Now()
	return stats.NodeStats{NodeName: name, StartTime: now, CPU: &stats.CPUStats{Time: now, UsageCoreNanoSeconds: &c},
		Memory: &stats.MemoryStats{Time: now, WorkingSetBytes: &ws, AvailableBytes: &free, UsageBytes: &ws}}
}

// resourceMetrics answers what metrics-server scrapes.
func (s *Server) resourceMetrics(w http.ResponseWriter, r *http.Request) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(&resources{s: s, ctx: r.Context()})
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// resources collects for one scrape.
type resources struct {
	s   *Server
	ctx context.Context
}

// Describe implements prometheus.Collector: the metrics vary, so none is announced.
func (c *resources) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *resources) Collect(ch chan<- prometheus.Metric) {
	send := func(name, help string, t prometheus.ValueType, v float64, stamp int64, labels ...string) {
		keys, vals := make([]string, 0, 3), make([]string, 0, 3)
		for i := 0; i < len(labels); i += 2 {
			keys, vals = append(keys, labels[i]), append(vals, labels[i+1])
		}
		m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, keys, nil), t, v, vals...)
		if err != nil {
			return
		}
		if stamp > 0 {
			m = prometheus.NewMetricWithTimestamp(time.Unix(0, stamp), m)
		}
		ch <- m
	}
	cpuNanos, ws, _ := machine()
	now := time.Now().UnixNano()
	send("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", prometheus.CounterValue, float64(cpuNanos)/1e9, now)
	send("node_memory_working_set_bytes", "Current working set of the node in bytes", prometheus.GaugeValue, float64(ws), now)
	list, err := c.s.sandboxStats(c.ctx)
	failed := 0.0
	if err != nil {
		failed = 1
	}
	for _, p := range list {
		if id, ok := cri.IDOf(p.Attributes.GetLabels()); ok {
			c.pod(send, id, p)
		}
	}
	for _, st := range c.s.o.Pods.States() {
		for _, x := range st.Runtime.Containers {
			if x.State == runtimeapi.ContainerState_CONTAINER_RUNNING {
				send("container_start_time_seconds", "Start time of the container since unix epoch in seconds", prometheus.GaugeValue, float64(x.StartedAt)/1e9, 0,
					"container", x.Metadata.GetName(), "namespace", st.Pod.Namespace, "pod", st.Pod.Name)
			}
		}
	}
	send("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", prometheus.GaugeValue, failed, 0)
}

type sender func(name, help string, t prometheus.ValueType, v float64, stamp int64, labels ...string)

func (c *resources) pod(send sender, id cri.ID, p *runtimeapi.PodSandboxStats) {
	of := []string{"namespace", id.Namespace, "pod", id.Name}
	if u := p.Linux.GetCpu(); u.GetUsageCoreNanoSeconds() != nil {
		send("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", prometheus.CounterValue, float64(u.UsageCoreNanoSeconds.Value)/1e9, u.Timestamp, of...)
	}
	if u := p.Linux.GetMemory(); u.GetWorkingSetBytes() != nil {
		send("pod_memory_working_set_bytes", "Current working set of the pod in bytes", prometheus.GaugeValue, float64(u.WorkingSetBytes.Value), u.Timestamp, of...)
	}
	for _, x := range p.Linux.GetContainers() {
		labels := append([]string{"container", x.Attributes.GetMetadata().GetName()}, of...)
		if u := x.Cpu; u.GetUsageCoreNanoSeconds() != nil {
			send("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", prometheus.CounterValue, float64(u.UsageCoreNanoSeconds.Value)/1e9, u.Timestamp, labels...)
		}
		if u := x.Memory; u.GetWorkingSetBytes() != nil {
			send("container_memory_working_set_bytes", "Current working set of the container in bytes", prometheus.GaugeValue, float64(u.WorkingSetBytes.Value), u.Timestamp, labels...)
		}
	}
}
