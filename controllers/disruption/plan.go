package disruption

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/controllers/podctl"
)

// evictionSeen is how long an allowed eviction may take to show as a deletion.
const evictionSeen = 2 * time.Minute

// snapshot is all that a plan depends on.
type snapshot struct {
	budget *policyv1.PodDisruptionBudget
	pods   []*corev1.Pod
	scale  int32 // what the pods' controllers want in all; below zero: unknown
	now    time.Time
}

// planStatus says how many pods may be disrupted now, and when the answer changes by itself.
func planStatus(s snapshot) (st policyv1.PodDisruptionBudgetStatus, after time.Duration, err error) {
	st = *s.budget.Status.DeepCopy()
	st.ObservedGeneration = s.budget.Generation
	st.ExpectedPods, st.DesiredHealthy, err = expected(s)
	if err != nil {
		st.DisruptionsAllowed = 0
		mark(&st, metav1.ConditionFalse, policyv1.SyncFailedReason, err.Error(), s.now)
		return st, 0, err
	}
	st.DisruptedPods, after = stillDisrupted(s)
	st.CurrentHealthy = 0
	for _, p := range s.pods {
		if _, going := st.DisruptedPods[p.Name]; going || p.DeletionTimestamp != nil {
			continue
		}
		if podctl.Ready(p) {
			st.CurrentHealthy++
		}
	}
	st.DisruptionsAllowed = max(st.CurrentHealthy-st.DesiredHealthy, 0)
	if st.ExpectedPods <= 0 {
		st.DisruptionsAllowed = 0
	}
	if st.DisruptionsAllowed > 0 {
		mark(&st, metav1.ConditionTrue, policyv1.SufficientPodsReason, "", s.now)
	} else {
		mark(&st, metav1.ConditionFalse, policyv1.InsufficientPodsReason, "", s.now)
	}
	return st, after, nil
}

// expected is how many pods there should be and how many of them must stay healthy.
func expected(s snapshot) (pods, healthy int32, err error) {
	spec := &s.budget.Spec
	scaled := func(v *intstr.IntOrString, of int32) (int32, error) {
		n, err := intstr.GetScaledValueFromIntOrPercent(v, int(of), true)
		return int32(n), err
	}
	if m := spec.MaxUnavailable; m != nil {
		if s.scale < 0 {
			return 0, 0, fmt.Errorf("found no controller ref for pods of the budget")
		}
		n, err := scaled(m, s.scale)
		return s.scale, max(s.scale-n, 0), err
	}
	if m := spec.MinAvailable; m != nil {
		if m.Type == intstr.Int {
			return int32(len(s.pods)), m.IntVal, nil
		}
		if s.scale < 0 {
			return 0, 0, fmt.Errorf("found no controller ref for pods of the budget")
		}
		n, err := scaled(m, s.scale)
		return s.scale, n, err
	}
	return int32(len(s.pods)), 0, nil
}

// stillDisrupted keeps the evictions that were allowed and have not shown yet.
func stillDisrupted(s snapshot) (map[string]metav1.Time, time.Duration) {
	var out map[string]metav1.Time
	var after time.Duration
	for _, p := range s.pods {
		at, ok := s.budget.Status.DisruptedPods[p.Name]
		if !ok || p.DeletionTimestamp != nil {
			continue
		}
		left := at.Add(evictionSeen).Sub(s.now)
		if left <= 0 {
			continue
		}
		if out == nil {
			out = map[string]metav1.Time{}
		}
		out[p.Name] = at
		if after == 0 || left < after {
			after = left
		}
	}
	return out, after
}

func mark(st *policyv1.PodDisruptionBudgetStatus, is metav1.ConditionStatus, reason, message string, now time.Time) {
	c := metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: is, Reason: reason, Message: message,
		ObservedGeneration: st.ObservedGeneration, LastTransitionTime: metav1.NewTime(now),
	}
	for i := range st.Conditions {
		if st.Conditions[i].Type != c.Type {
			continue
		}
		if st.Conditions[i].Status == is {
			c.LastTransitionTime = st.Conditions[i].LastTransitionTime
		}
		st.Conditions[i] = c
		return
	}
	st.Conditions = append(st.Conditions, c)
}
