package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// source is one of the places that a metric may come from.
type source struct {
	kind     autoscalingv2.MetricSourceType
	name     string
	set      bool
	validate func(path *field.Path) field.ErrorList
}

func sources(m *autoscalingv2.MetricSpec) []source {
	return []source{
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil, func(p *field.Path) field.ErrorList {
			errs := required(string(m.ContainerResource.Name), p.Child("name"))
			errs = append(errs, required(m.ContainerResource.Container, p.Child("container"))...)
			return append(errs, validateResourceTarget(&m.ContainerResource.Target, p.Child("target"))...)
		}},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil, func(p *field.Path) field.ErrorList {
			errs := segment(m.External.Metric.Name, p.Child("metric", "name"))
			t, at := &m.External.Target, p.Child("target")
			if t.Value != nil && t.AverageValue != nil {
				errs = append(errs, field.Forbidden(at.Child("value"), "may not set both a target value for metric and a per-pod target"))
			}
			return append(errs, validateValueTarget(t, at)...)
		}},
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil, func(p *field.Path) field.ErrorList {
			errs := validateReference(&m.Object.DescribedObject, p.Child("describedObject"))
			errs = append(errs, segment(m.Object.Metric.Name, p.Child("metric", "name"))...)
			return append(errs, validateValueTarget(&m.Object.Target, p.Child("target"))...)
		}},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil, func(p *field.Path) field.ErrorList {
			errs := segment(m.Pods.Metric.Name, p.Child("metric", "name"))
			errs = append(errs, validateTarget(&m.Pods.Target, p.Child("target"))...)
			if m.Pods.Target.AverageValue == nil {
				errs = append(errs, field.Required(p.Child("target", "averageValue"), "must specify a positive target averageValue"))
			}
			return errs
		}},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil, func(p *field.Path) field.ErrorList {
			return append(required(string(m.Resource.Name), p.Child("name")), validateResourceTarget(&m.Resource.Target, p.Child("target"))...)
		}},
	}
}

// validateMetric checks that the source that the type names is there, alone, and well formed.
func validateMetric(m *autoscalingv2.MetricSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	var kinds []autoscalingv2.MetricSourceType
	known := false
	for _, s := range sources(m) {
		kinds = append(kinds, s.kind)
		at := path.Child(s.name)
		switch {
		case s.kind != m.Type && s.set:
			errs = append(errs, field.Forbidden(at, "must populate the given metric source only"))
		case s.kind == m.Type && !s.set:
			errs = append(errs, field.Required(at, "must populate information for the given metric source"))
		case s.kind == m.Type:
			errs = append(errs, s.validate(at)...)
		}
		known = known || s.kind == m.Type
	}
	switch {
	case m.Type == "":
		return field.ErrorList{field.Required(path.Child("type"), "must specify a metric source type")}
	case !known:
		return field.ErrorList{field.NotSupported(path.Child("type"), m.Type, kinds)}
	}
	return errs
}

// validateTarget checks what all targets have in common.
func validateTarget(t *autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	errs := rules.OneOf(t.Type, path.Child("type"), autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType)
	if t.AverageUtilization != nil {
		errs = append(errs, rules.Positive(*t.AverageUtilization, path.Child("averageUtilization"))...)
	}
	if t.Value != nil && t.Value.Sign() != 1 {
		errs = append(errs, field.Invalid(path.Child("value"), t.Value, "must be positive"))
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		errs = append(errs, field.Invalid(path.Child("averageValue"), t.AverageValue, "must be positive"))
	}
	return errs
}

// validateResourceTarget: a share of what was requested or an average, not both.
func validateResourceTarget(t *autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	errs := validateTarget(t, path)
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		errs = append(errs, field.Required(path.Child("averageUtilization"), "must set either a target raw value or a target utilization"))
	case t.AverageUtilization != nil && t.AverageValue != nil:
		errs = append(errs, field.Forbidden(path.Child("averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

// validateValueTarget: a value or an average.
func validateValueTarget(t *autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	errs := validateTarget(t, path)
	if t.Value == nil && t.AverageValue == nil {
		errs = append(errs, field.Required(path.Child("averageValue"), "must set either a target value or a target average"))
	}
	return errs
}

// validateReference checks what names the object that is scaled or measured.
func validateReference(r *autoscalingv2.CrossVersionObjectReference, path *field.Path) field.ErrorList {
	errs := append(segment(r.Kind, path.Child("kind")), segment(r.Name, path.Child("name"))...)
	if _, err := schema.ParseGroupVersion(r.APIVersion); err != nil {
		errs = append(errs, field.Invalid(path.Child("apiVersion"), r.APIVersion, err.Error()))
	}
	return errs
}

func required(text string, path *field.Path) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return nil
}

// segment checks a name that becomes a part of a URL.
func segment(text string, path *field.Path) field.ErrorList {
	if text == "" {
		return required(text, path)
	}
	return rules.Messages(pathvalidation.IsValidPathSegmentName(text), text, path)
}
