package autoscaling

import (
	"encoding/json"
	"fmt"
	"maps"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// autoscaling/v1 knows one metric, the CPU use. What else v2 says travels in
// these annotations, so that a client of v1 neither sees nor loses it.
const (
	metricsAnnotation    = "autoscaling.alpha.kubernetes.io/metrics"
	currentAnnotation    = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsAnnotation = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorAnnotation   = "autoscaling.alpha.kubernetes.io/behavior"
)

// ToV1 gives the older form. It shares what h points to.
func ToV1(h *autoscalingv2.HorizontalPodAutoscaler) (*autoscalingv1.HorizontalPodAutoscaler, error) {
	out := &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas, MaxReplicas: h.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration, LastScaleTime: h.Status.LastScaleTime,
			CurrentReplicas: h.Status.CurrentReplicas, DesiredReplicas: h.Status.DesiredReplicas,
		},
	}
	extra := map[string]any{}
	var others []autoscalingv1.MetricSpec
	for i := range h.Spec.Metrics {
		m := &h.Spec.Metrics[i]
		if n := cpuTarget(m); n != nil && out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = n
			continue
		}
		others = append(others, specToV1(m))
	}
	var currents []autoscalingv1.MetricStatus
	for i := range h.Status.CurrentMetrics {
		m := &h.Status.CurrentMetrics[i]
		if m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Current.AverageUtilization != nil && out.Status.CurrentCPUUtilizationPercentage == nil {
			out.Status.CurrentCPUUtilizationPercentage = m.Resource.Current.AverageUtilization
		}
		currents = append(currents, statusToV1(m))
	}
	if others != nil {
		extra[metricsAnnotation] = others
	}
	if currents != nil {
		extra[currentAnnotation] = currents
	}
	if h.Status.Conditions != nil {
		extra[conditionsAnnotation] = h.Status.Conditions // the same fields in both versions
	}
	if h.Spec.Behavior != nil {
		extra[behaviorAnnotation] = h.Spec.Behavior
	}
	return out, annotate(out, extra)
}

func cpuTarget(m *autoscalingv2.MetricSpec) *int32 {
	if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Name != corev1.ResourceCPU {
		return nil
	}
	return m.Resource.Target.AverageUtilization
}

func annotate(out *autoscalingv1.HorizontalPodAutoscaler, extra map[string]any) error {
	if len(extra) == 0 {
		return nil
	}
	all := maps.Clone(out.Annotations)
	if all == nil {
		all = map[string]string{}
	}
	for name, v := range extra {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", name, err)
		}
		all[name] = string(text)
	}
	out.Annotations = all
	return nil
}

// FromV1 gives the stored form. It shares what h points to.
func FromV1(h *autoscalingv1.HorizontalPodAutoscaler) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	out := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas, MaxReplicas: h.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration, LastScaleTime: h.Status.LastScaleTime,
			CurrentReplicas: h.Status.CurrentReplicas, DesiredReplicas: h.Status.DesiredReplicas,
		},
	}
	if n := h.Spec.TargetCPUUtilizationPercentage; n != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, autoscalingv2.MetricSpec{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: n},
			},
		})
	}
	if err := unpack(h.Annotations, out); err != nil {
		return nil, err
	}
	out.Annotations = maps.Clone(h.Annotations)
	for _, name := range []string{metricsAnnotation, currentAnnotation, conditionsAnnotation, behaviorAnnotation} {
		delete(out.Annotations, name)
	}
	return out, nil
}

// unpack reads what v1 could not say from the annotations.
func unpack(annotations map[string]string, out *autoscalingv2.HorizontalPodAutoscaler) error {
	var others []autoscalingv1.MetricSpec
	var currents []autoscalingv1.MetricStatus
	for name, into := range map[string]any{
		metricsAnnotation: &others, currentAnnotation: &currents,
		conditionsAnnotation: &out.Status.Conditions, behaviorAnnotation: &out.Spec.Behavior,
	} {
		text, set := annotations[name]
		if !set {
			continue
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return fmt.Errorf("reading annotation %s: %w", name, err)
		}
	}
	for i := range others {
		out.Spec.Metrics = append(out.Spec.Metrics, specFromV1(&others[i]))
	}
	for i := range currents {
		out.Status.CurrentMetrics = append(out.Status.CurrentMetrics, statusFromV1(&currents[i]))
	}
	return nil
}
