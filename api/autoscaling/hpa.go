// Package autoscaling is the behaviour of autoscaling/v2
// HorizontalPodAutoscaler: defaults, validation and columns. Pure functions on
// the published type.
package autoscaling

import (
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultHorizontalPodAutoscaler fills in the documented defaults: one to max
// replicas at 80% CPU, scaling up fast and down slowly.
func DefaultHorizontalPodAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	orDefault(&h.Spec.MinReplicas, 1)
	if len(h.Spec.Metrics) == 0 {
		utilization := int32(80)
		h.Spec.Metrics = []autoscalingv2.MetricSpec{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &utilization},
			},
		}}
	}
	if b := h.Spec.Behavior; b != nil {
		b.ScaleUp = withDefaults(b.ScaleUp, 0,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
		b.ScaleDown = withDefaults(b.ScaleDown, -1,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
	}
}

// withDefaults completes scaling rules; window < 0 leaves the window to the controller.
func withDefaults(r *autoscalingv2.HPAScalingRules, window int32, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HPAScalingRules {
	if r == nil {
		r = &autoscalingv2.HPAScalingRules{}
	}
	orDefault(&r.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if window >= 0 {
		orDefault(&r.StabilizationWindowSeconds, window)
	}
	if r.Policies == nil {
		r.Policies = policies
	}
	return r
}

func orDefault[V any](p **V, v V) {
	if *p == nil {
		*p = &v
	}
}

// ValidateHorizontalPodAutoscaler checks the spec.
func ValidateHorizontalPodAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	spec, s := field.NewPath("spec"), &h.Spec
	var errs field.ErrorList
	low := int32(1)
	if s.MinReplicas != nil {
		low = *s.MinReplicas
		errs = append(errs, rules.Positive(low, spec.Child("minReplicas"))...)
	}
	errs = append(errs, rules.Positive(s.MaxReplicas, spec.Child("maxReplicas"))...)
	if s.MaxReplicas < low {
		errs = append(errs, field.Invalid(spec.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, validateReference(&s.ScaleTargetRef, spec.Child("scaleTargetRef"))...)
	for i := range s.Metrics {
		errs = append(errs, validateMetric(&s.Metrics[i], spec.Child("metrics").Index(i))...)
	}
	if s.Behavior != nil {
		errs = append(errs, validateScaling(s.Behavior.ScaleUp, spec.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateScaling(s.Behavior.ScaleDown, spec.Child("behavior", "scaleDown"))...)
	}
	return errs
}

func validateScaling(r *autoscalingv2.HPAScalingRules, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if r.StabilizationWindowSeconds != nil {
		errs = append(errs, rules.Between(*r.StabilizationWindowSeconds, 0, 3600, path.Child("stabilizationWindowSeconds"))...)
	}
	if r.SelectPolicy != nil {
		errs = append(errs, rules.OneOf(*r.SelectPolicy, path.Child("selectPolicy"),
			autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)...)
	}
	if r.Tolerance != nil && r.Tolerance.Sign() < 0 {
		errs = append(errs, field.Invalid(path.Child("tolerance"), r.Tolerance.String(), "must be greater than or equal to 0"))
	}
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(path.Child("policies"), "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		at := path.Child("policies").Index(i)
		errs = append(errs, rules.OneOf(p.Type, at.Child("type"), autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)...)
		errs = append(errs, rules.Positive(p.Value, at.Child("value"))...)
		errs = append(errs, rules.Between(p.PeriodSeconds, 1, 1800, at.Child("periodSeconds"))...)
	}
	return errs
}

// ValidateHorizontalPodAutoscalerStatus checks what the controller reports.
func ValidateHorizontalPodAutoscalerStatus(h, _ *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	path := field.NewPath("status")
	errs := rules.NotNegative(h.Status.CurrentReplicas, path.Child("currentReplicas"))
	return append(errs, rules.NotNegative(h.Status.DesiredReplicas, path.Child("desiredReplicas"))...)
}

// HorizontalPodAutoscalerColumns are what kubectl prints.
func HorizontalPodAutoscalerColumns() []metav1.TableColumnDefinition {
	doc := autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Reference", doc["scaleTargetRef"]),
		table.Text("Targets", doc["metrics"]),
		table.Text("MinPods", doc["minReplicas"]),
		table.Text("MaxPods", doc["maxReplicas"]),
		table.Text("Replicas", autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()["currentReplicas"]),
		table.AgeColumn(),
	}
}

// HorizontalPodAutoscalerRow fills HorizontalPodAutoscalerColumns.
func HorizontalPodAutoscalerRow(h *autoscalingv2.HorizontalPodAutoscaler, now time.Time) []any {
	var low any = table.Unset
	if h.Spec.MinReplicas != nil {
		low = *h.Spec.MinReplicas
	}
	return []any{
		h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, targets(h),
		low, int64(h.Spec.MaxReplicas), int64(h.Status.CurrentReplicas), table.Age(h.CreationTimestamp, now),
	}
}
