package tainteviction

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/stage"
)

func patient(uid types.UID, seconds int64) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: uid, CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Hour))},
		Spec: corev1.PodSpec{NodeName: "a", Tolerations: []corev1.Toleration{
			{Key: "k", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds}}},
	}
}

func tainted() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a"},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}}}
}

// TestAPodThatTookTheName has its own time: the mark of the one before it does not count.
func TestAPodThatTookTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage.New(t, patient("new", 600))
		s.Run(New)
		s.Add(tainted())
		s.Add(patient("old", 600))
		time.Sleep(9 * time.Minute)
		s.Modify(patient("new", 600)) // as after a list that missed both going and coming
		time.Sleep(5 * time.Minute)
		s.Settle()
		if s.Count("delete", "pods") != 0 {
			t.Fatal("removed by the time of another pod")
		}
		time.Sleep(6 * time.Minute)
		s.Settle()
		if n := s.Count("delete", "pods"); n != 1 {
			t.Errorf("%d removed when its own time was over, want 1", n)
		}
	})
}

// TestATimeThatDoesNotFit: a toleration of more seconds than a duration holds is for ever, not over.
func TestATimeThatDoesNotFit(t *testing.T) {
	now := time.Now()
	p := patient("p", 1<<62)
	if at, leave := planEviction(p, tainted().Spec.Taints, now, now); leave && at.Before(now.AddDate(100, 0, 0)) {
		t.Errorf("leaves at %s", at)
	}
}
