package apps

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// notNegative checks several counters, in the order of their names.
func notNegative(path *field.Path, counters map[string]int32) field.ErrorList {
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		errs = append(errs, rules.NotNegative(counters[name], path.Child(name))...)
	}
	return errs
}

// atMost checks that one counter does not exceed another.
func atMost(path *field.Path, name string, n, limit int32, of string) field.ErrorList {
	if n <= limit {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child(name), n, "cannot be greater than "+of)}
}

// countsUp checks a counter that may never fall.
func countsUp(now, old *int32, path *field.Path) field.ErrorList {
	errs := rules.MaybeNotNegative(now, path)
	if old != nil && value(now) < *old {
		errs = append(errs, field.Invalid(path, value(now), "cannot be decremented"))
	}
	return errs
}
