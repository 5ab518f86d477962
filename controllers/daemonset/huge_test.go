package daemonset

import (
	"fmt"
	"math"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/controllers/stage"
	"hyperkube/internal/bounds"
)

// TestNumbersAreNotSizes: a plan grows with the nodes and pods there are and the batch, not with a number
// in a spec.
func TestNumbersAreNotSizes(t *testing.T) {
	for _, v := range []intstr.IntOrString{intstr.FromInt32(math.MaxInt32), intstr.FromString("9223372036854775807%")} {
		d := &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{MinReadySeconds: math.MaxInt32, UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
			Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxSurge: &v, MaxUnavailable: &v}}}}
		s := snapshot{set: d, hash: "new", now: time.Unix(1e9, 0)}
		stage.Bounded(t, func() {
			for i := range 2 * bounds.Batch {
				s.nodes = append(s.nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i)}})
			}
			p := planDaemons(s)
			if len(p.create) != burst || len(p.remove) != 0 {
				t.Errorf("creates %d, removes %d", len(p.create), len(p.remove))
			}
		})
	}
}
