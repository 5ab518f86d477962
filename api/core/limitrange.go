package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"
)

// DefaultLimitRange completes the container limits: what is not said follows
// from what is.
func DefaultLimitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		it := &l.Spec.Limits[i]
		if it.Type != corev1.LimitTypeContainer {
			continue
		}
		it.Default = filled(it.Default, it.Max)
		it.DefaultRequest = filled(filled(it.DefaultRequest, it.Default), it.Min)
	}
}

// filled is l with what only from has.
func filled(l, from corev1.ResourceList) corev1.ResourceList {
	for name, q := range from {
		if _, ok := l[name]; ok {
			continue
		}
		if l == nil {
			l = make(corev1.ResourceList, len(from))
		}
		l[name] = q.DeepCopy()
	}
	return l
}

// ValidateLimitRange judges the order min ≤ default request ≤ default ≤ max.
func ValidateLimitRange(l *corev1.LimitRange) (errs field.ErrorList) {
	seen := map[corev1.LimitType]bool{}
	for i := range l.Spec.Limits {
		it, at := &l.Spec.Limits[i], field.NewPath("spec", "limits").Index(i)
		if it.Type == "" {
			errs = append(errs, field.Required(at.Child("type"), ""))
		} else {
			errs = append(errs, validateLimitType(it.Type, at.Child("type"))...)
		}
		if seen[it.Type] {
			errs = append(errs, field.Duplicate(at.Child("type"), it.Type))
		}
		seen[it.Type] = true
		errs = append(errs, validateLimitItem(it, at)...)
	}
	return errs
}

// validateLimitType: one of those that the cluster enforces, or somebody's own with a domain.
func validateLimitType(t corev1.LimitType, path *field.Path) field.ErrorList {
	switch t {
	case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
		return nil
	}
	errs := checkQualified(nil, string(t), path)
	if len(errs) == 0 && !containsSlash(string(t)) {
		errs = append(errs, field.Invalid(path, t, "must be a standard limit type or fully qualified"))
	}
	return errs
}

func validateLimitItem(it *corev1.LimitRangeItem, at *field.Path) (errs field.ErrorList) {
	names := map[corev1.ResourceName]bool{}
	for _, l := range []corev1.ResourceList{it.Max, it.Min, it.Default, it.DefaultRequest, it.MaxLimitRequestRatio} {
		for name := range l {
			names[name] = true
		}
	}
	for name := range names {
		errs = validateResourceName(errs, name, at.Child("max").Key(string(name)))
	}
	if it.Type == corev1.LimitTypePod {
		if len(it.Default) > 0 {
			errs = append(errs, field.Forbidden(at.Child("default"), "may not be specified when `type` is 'Pod'"))
		}
		if len(it.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(at.Child("defaultRequest"), "may not be specified when `type` is 'Pod'"))
		}
	}
	_, hasMin := it.Min[corev1.ResourceStorage]
	_, hasMax := it.Max[corev1.ResourceStorage]
	if it.Type == corev1.LimitTypePersistentVolumeClaim && !hasMin && !hasMax {
		errs = append(errs, field.Required(at.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
	}
	for name := range names {
		errs = append(errs, validateLimitOrder(it, name, at)...)
	}
	return errs
}

func validateLimitOrder(it *corev1.LimitRangeItem, name corev1.ResourceName, at *field.Path) (errs field.ErrorList) {
	order := func(low corev1.ResourceList, lowName string, high corev1.ResourceList, highName string) {
		l, okLow := low[name]
		h, okHigh := high[name]
		if okLow && okHigh && l.Cmp(h) > 0 {
			errs = append(errs, field.Invalid(at.Child(lowName).Key(string(name)), l.String(),
				lowName+" value "+l.String()+" is greater than "+highName+" value "+h.String()))
		}
	}
	order(it.Min, "min", it.Max, "max")
	order(it.Min, "min", it.DefaultRequest, "defaultRequest")
	order(it.DefaultRequest, "defaultRequest", it.Max, "max")
	order(it.DefaultRequest, "defaultRequest", it.Default, "default")
	order(it.Min, "min", it.Default, "default")
	order(it.Default, "default", it.Max, "max")
	ratio, ok := it.MaxLimitRequestRatio[name]
	if ok && ratio.Cmp(*resource.NewQuantity(1, resource.DecimalSI)) < 0 {
		errs = append(errs, field.Invalid(at.Child("maxLimitRequestRatio").Key(string(name)), ratio.String(), "ratio "+ratio.String()+" is less than 1"))
	}
	low, okLow := it.Min[name]
	high, okHigh := it.Max[name]
	if ok && okLow && okHigh && !low.IsZero() {
		if most := high.AsApproximateFloat64() / low.AsApproximateFloat64(); ratio.AsApproximateFloat64() > most {
			errs = append(errs, field.Invalid(at.Child("maxLimitRequestRatio").Key(string(name)), ratio.String(), "ratio "+ratio.String()+" is greater than max/min"))
		}
	}
	if q, ok := it.Default[name]; ok && !overcommit(name) {
		if r, ok := it.DefaultRequest[name]; ok && q.Cmp(r) != 0 {
			errs = append(errs, field.Invalid(at.Child("defaultRequest").Key(string(name)), r.String(), "default value "+q.String()+" must equal to defaultRequest value "+r.String()+" in "+string(name)))
		}
	}
	return errs
}

// LimitRangeColumns are printed by kubectl get limitranges.
func LimitRangeColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("Created At", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])}
}

// LimitRangeRow fills LimitRangeColumns.
func LimitRangeRow(l *corev1.LimitRange, _ time.Time) []any {
	return []any{l.Name, l.CreationTimestamp.UTC().Format(time.RFC3339)}
}
