package replicaset

import (
	"math"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"hyperkube/controllers/stage"
	"hyperkube/internal/bounds"
)

// TestNumbersAreNotSizes: a plan grows with the pods there are and the batch, not with a number in a spec.
func TestNumbersAreNotSizes(t *testing.T) {
	n := int32(math.MaxInt32)
	stage.Bounded(t, func() {
		p := planPods(snapshot{set: &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: &n, MinReadySeconds: n}}, now: time.Unix(1e9, 0)})
		if p.create != bounds.Batch || len(p.delete) != 0 {
			t.Errorf("creates %d, removes %d", p.create, len(p.delete))
		}
	})
}
