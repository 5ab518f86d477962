package podgc

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/stage"
)

// TestANodeOutOfService: its terminating pods are removed whether the node or the pod is seen first.
func TestANodeOutOfService(t *testing.T) {
	now := metav1.Now()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "p", DeletionTimestamp: &now, Finalizers: []string{"x/y"}}, Spec: corev1.PodSpec{NodeName: "a"}}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}}}}
	for name, tell := range map[string]func(*stage.Stage){
		"node first":     func(s *stage.Stage) { s.Add(node); s.Add(pod) },
		"pod first":      func(s *stage.Stage) { s.Add(pod); s.Add(node) },
		"from the start": func(s *stage.Stage) {},
		"ends later": func(s *stage.Stage) {
			alive := pod.DeepCopy()
			alive.DeletionTimestamp = nil
			s.Add(node)
			s.Add(alive)
			s.Modify(pod)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stage.New(t, pod)
				if name == "from the start" {
					s.First(pod, node)
				}
				s.Run(New)
				tell(s)
				if s.Count("delete", "pods") == 0 {
					t.Error("the pod is not removed")
				}
			})
		})
	}
}
