package podworker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestManyStops: the containers of a large pod are stopped some at a time, and all of them soon after the pod's time
// is over.
func TestManyStops(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, root)
		defer func() { n.stop() }()
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "wide", Namespace: "ns", UID: "wide"}, Spec: v1.PodSpec{TerminationGracePeriodSeconds: new(int64(10))}}
		const many = 10 * atOnce
		for i := range many {
			pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: fmt.Sprint("c", i), Image: "a"})
		}
		n.m.Update(pod)
		time.Sleep(time.Minute)
		n.rt.mu.Lock()
		if len(n.rt.containers) != many {
			t.Errorf("%d containers", len(n.rt.containers))
		}
		n.rt.dying = 2 * time.Second
		n.rt.mu.Unlock()
		began := time.Now()
		n.m.Remove(pod.UID)
		for n.m.Has(pod.UID) && time.Since(began) < time.Hour {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("gone after %v", took)
		}
		if n.rt.most != atOnce {
			t.Errorf("%d were stopped at once", n.rt.most)
		}
	})
}
