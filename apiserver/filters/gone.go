package filters

import (
	"hyperkube/apiserver/request"

	"github.com/prometheus/client_golang/prometheus"
)

// gone drops, whenever metrics are read, the series of kinds that are no longer served:
// kinds come and go, and nobody would ever ask for those again.
type gone struct{ m *metrics }

// Describe implements prometheus.Collector by describing nothing.
func (gone) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g gone) Collect(chan<- prometheus.Metric) {
	if g.m.known == nil {
		return
	}
	g.m.series.Range(func(key, value any) bool {
		k, s := key.(seriesKey), value.(*series)
		if k.resource == "" || g.m.known(k.info()) {
			return true
		}
		s.gone.Store(true)
		g.m.series.Delete(k)
		of := prometheus.Labels{"group": k.group, "version": k.version, "resource": k.resource, "subresource": k.sub}
		for _, v := range []*prometheus.MetricVec{g.m.total.MetricVec, g.m.duration.MetricVec, g.m.size.MetricVec, g.m.long.MetricVec} {
			v.DeletePartialMatch(of)
		}
		return true
	})
}

// info is what a request of the series asked for, as far as it says whether it is served.
func (k seriesKey) info() *request.Info {
	i := &request.Info{IsResource: true, APIPrefix: "apis", Group: k.group, Version: k.version, Resource: k.resource, Subresource: k.sub}
	if k.group == "" {
		i.APIPrefix = "api"
	}
	return i
}
