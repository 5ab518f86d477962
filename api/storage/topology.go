package storage

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// validateTopologies checks where volumes of a class may be: terms that differ, of label keys with values.
func validateTopologies(terms []corev1.TopologySelectorTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := rules.Seen[string]{}
	for i := range terms {
		list := terms[i].MatchLabelExpressions
		errs = append(errs, validateTopology(list, path.Index(i).Child("matchLabelExpressions"))...)
		if seen.Again(termKey(list)) {
			errs = append(errs, field.Duplicate(path.Index(i).Child("matchLabelExpressions"), ""))
		}
	}
	return errs
}

func validateTopology(list []corev1.TopologySelectorLabelRequirement, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	keys := rules.Seen[string]{}
	for i, r := range list {
		at := path.Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(r.Key, at.Child("key"))...)
		if keys.Again(r.Key) {
			errs = append(errs, field.Duplicate(at.Child("key"), r.Key))
		}
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(at.Child("values"), ""))
		}
		values := rules.Seen[string]{}
		for j, v := range r.Values {
			if values.Again(v) {
				errs = append(errs, field.Duplicate(at.Child("values").Index(j), v))
			}
		}
	}
	return errs
}

// termKey is the same for terms that ask for the same, in whatever order.
func termKey(list []corev1.TopologySelectorLabelRequirement) string {
	parts := make([]string, len(list))
	for i, r := range list {
		parts[i] = r.Key + "\x00" + strings.Join(slices.Sorted(slices.Values(r.Values)), "\x00")
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x01")
}
