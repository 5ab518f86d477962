package deployment

import (
	"math"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"hyperkube/controllers/stage"
)

// TestNumbersDoNotWrapRound: sizes near the largest number stay sizes: none below zero, none above what
// the deployment wants and may have.
func TestNumbersDoNotWrapRound(t *testing.T) {
	stage.Bounded(t, func() {
		rapid.Check(t, func(t *rapid.T) {
			number := rapid.OneOf(rapid.Int32Range(0, 5), rapid.SampledFrom([]int32{math.MaxInt32, math.MaxInt32 - 1, 1 << 30}))
			value := func(name string) *intstr.IntOrString {
				v := rapid.SampledFrom([]intstr.IntOrString{
					intstr.FromInt32(1), intstr.FromInt32(math.MaxInt32), intstr.FromString("25%"), intstr.FromString("200%"), intstr.FromString("4000000000%"),
				}).Draw(t, name)
				return &v
			}
			n := number.Draw(t, "replicas")
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "n", UID: "d"}, Spec: appsv1.DeploymentSpec{
				Replicas: &n, Paused: rapid.Bool().Draw(t, "paused"), Selector: &metav1.LabelSelector{},
				Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
					RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: value("surge"), MaxUnavailable: value("unavailable")}},
			}}
			s := snapshot{deployment: d, now: time.Unix(1e9, 0)}
			for _, name := range []string{"x", "y", "z"}[:rapid.IntRange(0, 3).Draw(t, "sets")] {
				size, wanted := number.Draw(t, name), number.Draw(t, name+" wanted")
				set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n", CreationTimestamp: metav1.NewTime(time.Unix(1e8, 0))}}
				set.Spec.Replicas = &size
				if name != "x" { // another template
					set.Spec.Template.Spec.Containers = []corev1.Container{{Name: name}}
				}
				setSizes(set, wanted, wanted)
				set.Status = appsv1.ReplicaSetStatus{Replicas: size, ReadyReplicas: size, AvailableReplicas: number.Draw(t, name+" available"), TerminatingReplicas: &wanted}
				s.sets = append(s.sets, set)
			}
			p, err := planNext(s)
			if err != nil {
				t.Fatal(err)
			}
			sizes := p.update
			if p.create != nil {
				sizes = append(sizes, p.create)
			}
			for _, set := range sizes {
				if sizeOf(set) < 0 {
					t.Fatalf("set %s gets the size %d", set.Name, sizeOf(set))
				}
				if m, ok := size(set, maxAnnotation); ok && m < 0 {
					t.Fatalf("set %s: at most %d pods", set.Name, m)
				}
			}
			st := p.status
			for _, v := range []int32{st.Replicas, st.ReadyReplicas, st.AvailableReplicas, st.UpdatedReplicas, st.UnavailableReplicas} {
				if v < 0 {
					t.Fatalf("status %+v", st)
				}
			}
		})
	})
}
