package podworker

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPace: some turns at once, then one at a time; who has waited may go at once again.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		for round := range 2 {
			began := time.Now()
			for i := range 3 * atOnce {
				p.wait(context.Background())
				want := time.Duration(max(i+1-atOnce, 0)) * apart
				if got := time.Since(began); got != want {
					t.Errorf("round %d, turn %d after %v, want %v", round, i, got, want)
				}
			}
			time.Sleep(time.Hour)
		}
	})
}

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
