package batch

import (
	"fmt"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// maxSucceededIndexes is how long the text of a rule's indexes may be.
const maxSucceededIndexes = 64 * 1024

func validateSuccessPolicy(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if s.SuccessPolicy == nil {
		return nil
	}
	var errs field.ErrorList
	if !indexed(s) {
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "requires indexed completion mode"))
	}
	at := path.Child("rules")
	switch n := len(s.SuccessPolicy.Rules); {
	case n == 0:
		errs = append(errs, field.Required(at, "at least one rules must be specified when the successPolicy is specified"))
	case n > maxSuccessPolicyRules:
		errs = append(errs, field.TooMany(at, n, maxSuccessPolicyRules))
	}
	for i := range s.SuccessPolicy.Rules {
		errs = append(errs, validateSuccessRule(s, &s.SuccessPolicy.Rules[i], at.Index(i))...)
	}
	return errs
}

// validateSuccessRule checks that the rule can ever be met: no more indexes are counted than there are.
func validateSuccessRule(s *batchv1.JobSpec, r *batchv1.SuccessPolicyRule, path *field.Path) field.ErrorList {
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		return field.ErrorList{field.Required(path, "at least one of succeededCount or succeededIndexes must be specified")}
	}
	var errs field.ErrorList
	completions := int32(maxIndexedCompletions)
	if s.Completions != nil {
		completions = *s.Completions
	}
	most, of := completions, "completions"
	if text := r.SucceededIndexes; text != nil {
		at := path.Child("succeededIndexes")
		n, err := countIndexes(*text, completions)
		switch {
		case len(*text) > maxSucceededIndexes:
			errs = append(errs, field.TooLong(at, "", maxSucceededIndexes))
		case err != nil:
			errs = append(errs, field.Invalid(at, *text, err.Error()))
		default:
			most, of = n, "the number of succeededIndexes"
		}
	}
	if count := r.SucceededCount; count != nil {
		at := path.Child("succeededCount")
		errs = append(errs, rules.Positive(*count, at)...)
		if *count > most {
			errs = append(errs, field.Invalid(at, *count, fmt.Sprintf("must be less than or equal to %d, %s", most, of)))
		}
	}
	return errs
}

// countIndexes is how many indexes "1,3-5" names: rising, none twice, all below the completions.
func countIndexes(text string, completions int32) (int32, error) {
	total, last := int32(0), int32(-1)
	for part := range strings.SplitSeq(text, ",") {
		first, end, isRange := strings.Cut(part, "-")
		from, err := index(first, completions)
		if err != nil {
			return 0, err
		}
		to := from
		if isRange {
			if to, err = index(end, completions); err != nil {
				return 0, err
			}
		}
		if from <= last || to < from {
			return 0, fmt.Errorf("%q: indexes must rise and not come twice", part)
		}
		total, last = total+to-from+1, to
	}
	return total, nil
}

func index(text string, completions int32) (int32, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not an index: must be a decimal number or two with a hyphen between them", text)
	}
	if int64(n) >= int64(completions) {
		return 0, fmt.Errorf("index %d must be less than the completions, %d", n, completions)
	}
	return int32(n), nil
}
