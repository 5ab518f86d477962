package autoscaling

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"

	"hyperkube/api/table"
)

const shownTargets = 2

// targets renders "cpu: 12%/80%" for each metric, current over wanted.
func targets(h *autoscalingv2.HorizontalPodAutoscaler) string {
	if len(h.Spec.Metrics) == 0 {
		return table.None
	}
	var list []string
	for i := range h.Spec.Metrics {
		m := &h.Spec.Metrics[i]
		want, ok := target(m)
		if !ok {
			list = append(list, table.Unknown)
			continue
		}
		var now *autoscalingv2.MetricValueStatus
		if i < len(h.Status.CurrentMetrics) {
			now = current(&h.Status.CurrentMetrics[i])
		}
		list = append(list, label(m)+compare(now, want))
	}
	if extra := len(list) - shownTargets; extra > 0 {
		return fmt.Sprintf("%s + %d more...", join(list[:shownTargets]), extra)
	}
	return join(list)
}

func join(list []string) string {
	out := list[0]
	for _, s := range list[1:] {
		out += ", " + s
	}
	return out
}

func label(m *autoscalingv2.MetricSpec) string {
	switch m.Type {
	case autoscalingv2.ResourceMetricSourceType:
		return m.Resource.Name.String() + ": "
	case autoscalingv2.ContainerResourceMetricSourceType:
		return m.ContainerResource.Name.String() + ": "
	}
	return ""
}

func current(s *autoscalingv2.MetricStatus) *autoscalingv2.MetricValueStatus {
	switch {
	case s.Object != nil:
		return &s.Object.Current
	case s.Pods != nil:
		return &s.Pods.Current
	case s.Resource != nil:
		return &s.Resource.Current
	case s.ContainerResource != nil:
		return &s.ContainerResource.Current
	case s.External != nil:
		return &s.External.Current
	}
	return nil
}

// compare renders current/target; an average is marked so.
func compare(now *autoscalingv2.MetricValueStatus, want *autoscalingv2.MetricTarget) string {
	quantity := func(q *resource.Quantity) string {
		if q == nil {
			return table.Unknown
		}
		return q.String()
	}
	if now == nil {
		now = &autoscalingv2.MetricValueStatus{}
	}
	switch {
	case want.AverageUtilization != nil:
		is := table.Unknown
		if now.AverageUtilization != nil {
			is = fmt.Sprintf("%d%%", *now.AverageUtilization)
		}
		return fmt.Sprintf("%s/%d%%", is, *want.AverageUtilization)
	case want.AverageValue != nil:
		return fmt.Sprintf("%s/%s (avg)", quantity(now.AverageValue), want.AverageValue)
	}
	return fmt.Sprintf("%s/%s", quantity(now.Value), quantity(want.Value))
}

// target finds what a metric should be kept at.
func target(m *autoscalingv2.MetricSpec) (*autoscalingv2.MetricTarget, bool) {
	switch {
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		return &m.Object.Target, true
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		return &m.Pods.Target, true
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		return &m.Resource.Target, true
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		return &m.ContainerResource.Target, true
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		return &m.External.Target, true
	}
	return nil, false
}
