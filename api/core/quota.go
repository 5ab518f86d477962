package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"
)

// ValidateResourceQuota judges names, amounts and scopes.
func ValidateResourceQuota(q *corev1.ResourceQuota) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateQuotaList(q.Spec.Hard, path.Child("hard"))
	return append(errs, validateScopes(&q.Spec, path)...)
}

func validateQuotaList(l corev1.ResourceList, path *field.Path) (errs field.ErrorList) {
	for name, amount := range l {
		p := path.Key(string(name))
		errs = checkQualified(errs, string(name), p)
		if !containsSlash(string(name)) && !isQuotaResource(name) {
			errs = append(errs, field.Invalid(p, name, "must be a standard resource for quota"))
		}
		errs = checkQuantity(errs, name, amount, p)
	}
	return errs
}

func validateScopes(s *corev1.ResourceQuotaSpec, path *field.Path) (errs field.ErrorList) {
	for i, scope := range s.Scopes {
		errs = append(errs, validateScope(scope, s.Hard, path.Child("scopes"), i)...)
	}
	if opposed(s.Scopes, corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort) ||
		opposed(s.Scopes, corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating) {
		errs = append(errs, field.Invalid(path.Child("scopes"), s.Scopes, "conflicting scopes"))
	}
	if s.ScopeSelector == nil {
		return errs
	}
	at := path.Child("scopeSelector", "matchExpressions")
	for i, r := range s.ScopeSelector.MatchExpressions {
		errs = append(errs, validateScope(r.ScopeName, s.Hard, at.Index(i).Child("scopeName"), i)...)
		values := at.Index(i).Child("values")
		fixed := r.ScopeName != corev1.ResourceQuotaScopePriorityClass && r.ScopeName != corev1.ResourceQuotaScopeVolumeAttributesClass
		switch r.Operator {
		case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
			if fixed {
				errs = append(errs, field.Invalid(at.Index(i).Child("operator"), r.Operator,
					"must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
			} else if len(r.Values) == 0 {
				errs = append(errs, field.Required(values, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
			}
		case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
			if len(r.Values) > 0 {
				errs = append(errs, field.Invalid(values, r.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
			}
		default:
			errs = append(errs, field.Invalid(at.Index(i).Child("operator"), r.Operator, "not a valid selector operator"))
		}
	}
	return errs
}

func opposed(scopes []corev1.ResourceQuotaScope, a, b corev1.ResourceQuotaScope) bool {
	return slices.Contains(scopes, a) && slices.Contains(scopes, b)
}

func validateScope(scope corev1.ResourceQuotaScope, hard corev1.ResourceList, path *field.Path, _ int) (errs field.ErrorList) {
	onlyPods, compute := false, false
	switch scope {
	case corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		onlyPods = true
	case corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeTerminating,
		corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopePriorityClass:
		compute = true
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return nil
	default:
		return field.ErrorList{field.Invalid(path, scope, "unsupported scope")}
	}
	for name := range hard {
		pods := name == corev1.ResourcePods || name == "count/pods"
		if onlyPods && !pods || compute && !pods && !isPodCompute(name) {
			errs = append(errs, field.Invalid(path, []corev1.ResourceQuotaScope{scope}, "unsupported scope applied to resource"))
		}
	}
	return errs
}

// isPodCompute: what pods ask for or are limited to.
func isPodCompute(name corev1.ResourceName) bool {
	s := strings.TrimPrefix(strings.TrimPrefix(string(name), "requests."), "limits.")
	return isStandardContainerResource(corev1.ResourceName(s)) || IsExtended(corev1.ResourceName(s))
}

// ValidateResourceQuotaUpdate: scopes stay.
func ValidateResourceQuotaUpdate(q, old *corev1.ResourceQuota) field.ErrorList {
	errs := ValidateResourceQuota(q)
	is, was := slices.Sorted(slices.Values(q.Spec.Scopes)), slices.Sorted(slices.Values(old.Spec.Scopes))
	return immutable(errs, slices.Equal(is, was), q.Spec.Scopes, field.NewPath("spec", "scopes"))
}

// ValidateResourceQuotaStatus judges what a controller measured.
func ValidateResourceQuotaStatus(q, _ *corev1.ResourceQuota) field.ErrorList {
	path := field.NewPath("status")
	return append(validateQuotaList(q.Status.Hard, path.Child("hard")), validateQuotaList(q.Status.Used, path.Child("used"))...)
}

// ResourceQuotaColumns are printed by kubectl get resourcequotas.
func ResourceQuotaColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("Request", "Requests that are used, of all that may be."),
		table.Text("Limit", "Limits that are used, of all that may be."), table.AgeColumn()}
}

// ResourceQuotaRow fills ResourceQuotaColumns.
func ResourceQuotaRow(q *corev1.ResourceQuota, now time.Time) []any {
	names := make([]string, 0, len(q.Status.Hard))
	for name := range q.Status.Hard {
		names = append(names, string(name))
	}
	slices.Sort(names)
	var requests, limits []string
	for _, name := range names {
		used, hard := q.Status.Used[corev1.ResourceName(name)], q.Status.Hard[corev1.ResourceName(name)]
		text := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
		if strings.HasPrefix(name, "limits") {
			limits = append(limits, text)
		} else {
			requests = append(requests, text)
		}
	}
	return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), table.Age(q.CreationTimestamp, now)}
}
