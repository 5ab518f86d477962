package podworker

import (
	"math"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestLongGrace: no number of seconds turns into a time that is over.
func TestLongGrace(t *testing.T) {
	for _, n := range []int64{9223372036, 9223372037, math.MaxInt64} {
		pod := &v1.Pod{Spec: v1.PodSpec{TerminationGracePeriodSeconds: &n}}
		if got := grace(pod, Container{}); got < 50*365*24*time.Hour || got < 0 {
			t.Errorf("%d s: %v", n, got)
		}
		w := newWorker(&Deps{}, pod, nil)
		now := metav1.Now()
		w.take(&v1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now, DeletionGracePeriodSeconds: &n}})
		if left := time.Until(w.view.Stop.Deadline); left < 50*365*24*time.Hour {
			t.Errorf("deleted with %d s: ends in %v", n, left)
		}
	}
}
