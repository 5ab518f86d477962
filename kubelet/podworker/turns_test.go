package podworker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// wide is a pod with many containers that run, each of which takes some time to end.
func wide(t *testing.T, n *nodeSim, containers int, grace int64, dying time.Duration) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "wide", Namespace: "ns", UID: "wide"}, Spec: v1.PodSpec{TerminationGracePeriodSeconds: &grace}}
	for i := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: fmt.Sprint("c", i), Image: "a"})
	}
	n.m.Update(pod)
	time.Sleep(time.Minute)
	n.rt.mu.Lock()
	defer n.rt.mu.Unlock()
	if len(n.rt.containers) != containers {
		t.Errorf("%d containers", len(n.rt.containers))
	}
	n.rt.dying = dying
	return pod
}

// remove returns how long the pod takes to go.
func remove(n *nodeSim, pod *v1.Pod) time.Duration {
	began := time.Now()
	n.m.Remove(pod.UID)
	for n.m.Has(pod.UID) && time.Since(began) < time.Hour {
		time.Sleep(time.Second)
	}
	return time.Since(began)
}

// TestManyStops: the containers of a large pod are stopped some at a time.
func TestManyStops(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, root)
		defer func() { n.stop() }()
		pod := wide(t, n, 10*atOnce, 10, signalled-time.Second)
		if took := remove(n, pod); took > 30*time.Second {
			t.Errorf("gone after %v", took)
		}
		if n.rt.most != atOnce {
			t.Errorf("%d were stopped at once", n.rt.most)
		}
	})
}

// TestGraceOfMany: each container of a large pod has all of its grace period, however long others take, and the pod
// goes soon after.
func TestGraceOfMany(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		for _, dying := range []time.Duration{8 * time.Second, 29 * time.Second, time.Hour} {
			n := newNode(t, root)
			pod := wide(t, n, 5*atOnce, 30, dying)
			if took, most := remove(n, pod), min(dying, 30*time.Second)+5*signalled+10*time.Second; took > most {
				t.Errorf("%v each: gone after %v", dying, took)
			}
			if n.rt.cut > 0 && dying < 30*time.Second {
				t.Errorf("%v each: %d were killed before their time", dying, n.rt.cut)
			}
			n.stop()
		}
	})
}
