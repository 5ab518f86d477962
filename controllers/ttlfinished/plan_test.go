package ttlfinished

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPlanExpiry(t *testing.T) {
	end := time.Unix(1e9, 0)
	ttl := int32(30)
	for _, x := range []struct {
		name      string
		ttl       *int32
		condition batchv1.JobConditionType
		is        corev1.ConditionStatus
		deleted   bool
		known     bool
	}{
		{"complete", &ttl, batchv1.JobComplete, corev1.ConditionTrue, false, true},
		{"failed", &ttl, batchv1.JobFailed, corev1.ConditionTrue, false, true},
		{"still ending", &ttl, batchv1.JobFailureTarget, corev1.ConditionTrue, false, false},
		{"not yet", &ttl, batchv1.JobComplete, corev1.ConditionFalse, false, false},
		{"kept", nil, batchv1.JobComplete, corev1.ConditionTrue, false, false},
		{"going already", &ttl, batchv1.JobComplete, corev1.ConditionTrue, true, false},
	} {
		j := &batchv1.Job{Spec: batchv1.JobSpec{TTLSecondsAfterFinished: x.ttl}}
		j.Status.Conditions = []batchv1.JobCondition{{Type: x.condition, Status: x.is, LastTransitionTime: metav1.NewTime(end)}}
		if x.deleted {
			j.DeletionTimestamp = &metav1.Time{Time: end}
		}
		at, known := planExpiry(j)
		if known != x.known || known && !at.Equal(end.Add(30*time.Second)) {
			t.Errorf("%s: %v, %t", x.name, at, known)
		}
	}
}
