package tainteviction

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPlanEviction(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	after := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	bare := corev1.Taint{Key: "k", Value: "v", Effect: corev1.TaintEffectNoExecute}
	dated := bare
	dated.TimeAdded = &metav1.Time{Time: after(-5)}
	tolerate := func(seconds int64) corev1.Toleration {
		return corev1.Toleration{Key: "k", Value: "v", TolerationSeconds: &seconds}
	}
	for _, x := range []struct {
		name        string
		taint       corev1.Taint
		tolerations []corev1.Toleration
		at          time.Time
		leave       bool
	}{
		{"not tolerated", bare, nil, after(7), true},
		{"for ever", bare, []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists}}, time.Time{}, false},
		{"undated: from when it was seen", bare, []corev1.Toleration{tolerate(10)}, after(10), true},
		{"dated: from then", dated, []corev1.Toleration{tolerate(10)}, after(5), true},
		{"the shortest", bare, []corev1.Toleration{tolerate(10), tolerate(3)}, after(3), true},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := &corev1.Pod{Spec: corev1.PodSpec{Tolerations: x.tolerations}}
			p.CreationTimestamp.Time = after(-60)
			// Asked again later, the answer is the same.
			at, leave := planEviction(p, []corev1.Taint{x.taint}, start, after(7))
			if !at.Equal(x.at) || leave != x.leave {
				t.Errorf("at %v, %t; want %v, %t", at, leave, x.at, x.leave)
			}
		})
	}
}
