package statefulset

import (
	"fmt"
	"math"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"hyperkube/controllers/stage"
	"hyperkube/internal/bounds"
)

func running(set *appsv1.StatefulSet, ordinal int, revision string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(set.Name, "-", ordinal), Labels: map[string]string{appsv1.ControllerRevisionHashLabelKey: revision}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// TestNumbersAreNotSizes: a plan grows with the pods there are and the batch, not with a number in a spec.
func TestNumbersAreNotSizes(t *testing.T) {
	stage.Bounded(t, func() {
		rapid.Check(t, func(t *rapid.T) {
			number := rapid.OneOf(rapid.Int32Range(0, 5), rapid.SampledFrom([]int32{math.MaxInt32, math.MaxInt32 - 1, 1 << 20}))
			replicas, partition, start := number.Draw(t, "replicas"), number.Draw(t, "partition"), number.Draw(t, "start")
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
			set.Spec.Replicas, set.Spec.Ordinals = &replicas, &appsv1.StatefulSetOrdinals{Start: start}
			set.Spec.PodManagementPolicy = rapid.SampledFrom([]appsv1.PodManagementPolicyType{appsv1.ParallelPodManagement, appsv1.OrderedReadyPodManagement}).Draw(t, "policy")
			set.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition}}
			s := snapshot{set: set, current: "v1", update: "v2", now: time.Unix(1e9, 0)}
			for _, at := range rapid.SliceOfNDistinct(rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(0, 1<<31)), 0, 8, rapid.ID[int]).Draw(t, "pods") {
				pod := running(set, int(start)+at, rapid.SampledFrom([]string{"v1", "v2"}).Draw(t, "revision"))
				pod.Status.Phase = rapid.SampledFrom([]corev1.PodPhase{corev1.PodRunning, corev1.PodPending, corev1.PodFailed}).Draw(t, "phase")
				s.pods = append(s.pods, pod)
			}
			p := planPods(s)
			if len(p.create) > bounds.Batch || len(p.remove) > bounds.Batch {
				t.Fatalf("%d to create, %d to remove", len(p.create), len(p.remove))
			}
			taken := map[int]bool{}
			for _, pod := range s.pods {
				taken[ordinalOf(set, pod)] = true
			}
			for i, c := range p.create {
				if taken[c.ordinal] || c.ordinal < int(start) || c.ordinal >= int(start)+int(replicas) {
					t.Fatalf("creates ordinal %d", c.ordinal)
				}
				if i > 0 && p.create[i-1].ordinal >= c.ordinal {
					t.Fatalf("creates %d after %d", c.ordinal, p.create[i-1].ordinal)
				}
			}
			if set.Spec.PodManagementPolicy == appsv1.ParallelPodManagement {
				want := int(replicas)
				for o := range taken {
					if o >= int(start) && o < int(start)+int(replicas) {
						want--
					}
				}
				if want = min(want, bounds.Batch); len(p.create) != want {
					t.Fatalf("creates %d, want %d", len(p.create), want)
				}
			}
		})
	})
}

// TestManyCondemned: of many pods too many one look removes a batch.
func TestManyCondemned(t *testing.T) {
	none := int32(0)
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
	set.Spec.Replicas, set.Spec.PodManagementPolicy = &none, appsv1.ParallelPodManagement
	s := snapshot{set: set, current: "v1", update: "v1", now: time.Unix(1e9, 0)}
	for i := range 3 * bounds.Batch {
		s.pods = append(s.pods, running(set, i, "v1"))
	}
	if n := len(planPods(s).remove); n != bounds.Batch {
		t.Errorf("removes %d, want %d", n, bounds.Batch)
	}
}
