// Package rules holds the checks that several kinds of several groups share:
// numbers, percentages, selectors, immutability. Every check takes the path it
// speaks about and returns what it found wrong; nothing has effects.
package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Immutable is what users read when a field may not change.
const Immutable = "field is immutable"

// integer is any of the number types of the published API.
type integer interface{ ~int32 | ~int64 | ~int }

// NotNegative refuses numbers below zero.
func NotNegative[N integer](n N, path *field.Path) field.ErrorList {
	if n >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, n, "must be greater than or equal to 0").WithOrigin("minimum")}
}

// MaybeNotNegative is NotNegative for an optional number.
func MaybeNotNegative[N integer](n *N, path *field.Path) field.ErrorList {
	if n == nil {
		return nil
	}
	return NotNegative(*n, path)
}

// Positive refuses numbers below one.
func Positive[N integer](n N, path *field.Path) field.ErrorList {
	if n > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, n, "must be greater than 0")}
}

// Between refuses numbers outside [low, high].
func Between[N integer](n, low, high N, path *field.Path) field.ErrorList {
	if n >= low && n <= high {
		return nil
	}
	return field.ErrorList{field.Invalid(path, n, fmt.Sprintf("must be between %d and %d, inclusive", low, high))}
}

// Same refuses a change.
func Same(now, old any, path *field.Path) field.ErrorList {
	if apiequality.Semantic.DeepEqual(now, old) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, now, Immutable).WithOrigin("immutable")}
}

// OneOf refuses values outside the list; an empty one is missing.
func OneOf[S ~string](v S, path *field.Path, allowed ...S) field.ErrorList {
	switch {
	case slices.Contains(allowed, v):
		return nil
	case v == "":
		return field.ErrorList{field.Required(path, "")}
	}
	return field.ErrorList{field.NotSupported(path, v, allowed)}
}

// IntOrPercent accepts whole numbers from zero and percentages.
func IntOrPercent(v intstr.IntOrString, path *field.Path) field.ErrorList {
	if v.Type == intstr.Int {
		return NotNegative(v.IntVal, path)
	}
	var errs field.ErrorList
	for _, msg := range validation.IsValidPercent(v.StrVal) {
		errs = append(errs, field.Invalid(path, v, msg))
	}
	return errs
}

// AtMostAll refuses percentages above 100%.
func AtMostAll(v intstr.IntOrString, path *field.Path) field.ErrorList {
	if n, ok := percent(v); ok && n > 100 {
		return field.ErrorList{field.Invalid(path, v, "must not be greater than 100%")}
	}
	return nil
}

// IsZero says whether v is 0 or 0%.
func IsZero(v *intstr.IntOrString) bool {
	if v == nil {
		return true
	}
	if n, ok := percent(*v); ok {
		return n == 0
	}
	return v.Type == intstr.Int && v.IntVal == 0
}

func percent(v intstr.IntOrString) (int, bool) {
	if v.Type != intstr.String || !strings.HasSuffix(v.StrVal, "%") {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v.StrVal, "%"))
	return n, err == nil
}

// Selector checks the selector of a workload against the labels of its template.
// owner is the kind in lower case for the message.
func Selector(s *metav1.LabelSelector, template map[string]string, owner string, spec *field.Path) field.ErrorList {
	path := spec.Child("selector")
	if s == nil {
		return field.ErrorList{field.Required(path, "")}
	}
	errs := metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(path, s, "empty selector is invalid for "+owner))
	}
	match, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return append(errs, field.Invalid(path, s, "invalid label selector"))
	}
	if !match.Empty() && !match.Matches(labels.Set(template)) {
		errs = append(errs, field.Invalid(spec.Child("template", "metadata", "labels"), template, "`selector` does not match template `labels`"))
	}
	return errs
}

// Messages turns the texts of apimachinery's name checks into errors.
func Messages(msgs []string, value any, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, m := range msgs {
		errs = append(errs, field.Invalid(path, value, m))
	}
	return errs
}
