// Package policy is the behaviour of policy/v1 PodDisruptionBudget: validation
// and columns, pure functions on the published type.
package policy

import (
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidatePodDisruptionBudget checks the spec.
func ValidatePodDisruptionBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	spec, s := field.NewPath("spec"), &b.Spec
	var errs field.ErrorList
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(spec, s, "minAvailable and maxUnavailable cannot be both set"))
	}
	errs = append(errs, validateShare(s.MinAvailable, spec.Child("minAvailable"))...)
	errs = append(errs, validateShare(s.MaxUnavailable, spec.Child("maxUnavailable"))...)
	errs = append(errs, metavalidation.ValidateLabelSelector(s.Selector, metavalidation.LabelSelectorValidationOptions{}, spec.Child("selector"))...)
	if s.UnhealthyPodEvictionPolicy != nil {
		errs = append(errs, rules.OneOf(*s.UnhealthyPodEvictionPolicy, spec.Child("unhealthyPodEvictionPolicy"), policyv1.AlwaysAllow, policyv1.IfHealthyBudget)...)
	}
	return errs
}

// validateShare checks a number of pods or a part of all.
func validateShare(v *intstr.IntOrString, path *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	return append(rules.IntOrPercent(*v, path), rules.AtMostAll(*v, path)...)
}

// ValidatePodDisruptionBudgetStatus checks what the disruption controller reports.
func ValidatePodDisruptionBudgetStatus(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	path, s := field.NewPath("status"), &b.Status
	errs := metavalidation.ValidateConditions(s.Conditions, path.Child("conditions"))
	errs = append(errs, rules.NotNegative(s.DisruptionsAllowed, path.Child("disruptionsAllowed"))...)
	errs = append(errs, rules.NotNegative(s.CurrentHealthy, path.Child("currentHealthy"))...)
	errs = append(errs, rules.NotNegative(s.DesiredHealthy, path.Child("desiredHealthy"))...)
	return append(errs, rules.NotNegative(s.ExpectedPods, path.Child("expectedPods"))...)
}

// PodDisruptionBudgetColumns are what kubectl prints.
func PodDisruptionBudgetColumns() []metav1.TableColumnDefinition {
	doc := policyv1.PodDisruptionBudgetSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Min Available", doc["minAvailable"]),
		table.Text("Max Unavailable", doc["maxUnavailable"]),
		table.Integer("Allowed Disruptions", policyv1.PodDisruptionBudgetStatus{}.SwaggerDoc()["disruptionsAllowed"]),
		table.AgeColumn(),
	}
}

// PodDisruptionBudgetRow fills PodDisruptionBudgetColumns.
func PodDisruptionBudgetRow(b *policyv1.PodDisruptionBudget, now time.Time) []any {
	text := func(v *intstr.IntOrString) string {
		if v == nil {
			return "N/A"
		}
		return v.String()
	}
	return []any{b.Name, text(b.Spec.MinAvailable), text(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), table.Age(b.CreationTimestamp, now)}
}
