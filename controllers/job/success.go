package job

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
)

// successRule finds the first rule of a job's success policy that the indexes done fulfil; -1 for none.
func successRule(j *batchv1.Job, done indexes) int {
	if j.Spec.SuccessPolicy == nil || !isIndexed(j) {
		return -1
	}
	for i, r := range j.Spec.SuccessPolicy.Rules {
		have, need := done.count(), -1
		if r.SucceededIndexes != nil {
			named := parseIndexes(*r.SucceededIndexes, completions(j))
			have, need = done.shared(named), named.count()
		}
		if r.SucceededCount != nil {
			need = int(*r.SucceededCount)
		}
		if need >= 0 && have >= need {
			return i
		}
	}
	return -1
}

func ruleMessage(i int) string { return fmt.Sprintf("Matched rules at index %d", i) }

// shared is how many indexes are in both sets.
func (x indexes) shared(y indexes) int {
	n := 0
	for a, b := 0, 0; a < len(x) && b < len(y); {
		first, last := max(x[a].first, y[b].first), min(x[a].last, y[b].last)
		n += max(last-first+1, 0)
		if x[a].last < y[b].last {
			a++
		} else {
			b++
		}
	}
	return n
}
