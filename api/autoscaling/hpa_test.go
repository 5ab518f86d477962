package autoscaling

import (
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestTargetsByType: a metric has a target of a sort that its type has.
func TestTargetsByType(t *testing.T) {
	q, n := resource.MustParse("1"), int32(1)
	targets := map[string]autoscalingv2.MetricTarget{
		"utilization": {Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &n},
		"average":     {Type: autoscalingv2.AverageValueMetricType, AverageValue: &q},
		"value":       {Type: autoscalingv2.ValueMetricType, Value: &q},
		"none":        {Type: autoscalingv2.ValueMetricType},
	}
	for _, c := range []struct {
		metric func(autoscalingv2.MetricTarget) autoscalingv2.MetricSpec
		takes  string
	}{
		{func(t autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
			return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu", Target: t}}
		}, "utilization average"},
		{func(t autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
			return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "m"}, Target: t}}
		}, "average"},
		{func(t autoscalingv2.MetricTarget) autoscalingv2.MetricSpec {
			return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "m"}, Target: t}}
		}, "average value"},
	} {
		got := ""
		for _, name := range []string{"utilization", "average", "value", "none"} {
			m := c.metric(targets[name])
			if len(validateMetric(&m, nil)) == 0 {
				if got != "" {
					got += " "
				}
				got += name
			}
		}
		if m := c.metric(targets["none"]); got != c.takes {
			t.Errorf("%s takes %q, want %q", m.Type, got, c.takes)
		}
	}
}
