package pvcprotection

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/stage"
)

// TestAPodSeenWhenItHasEnded: the server called it a user before the informer knew it.
func TestAPodSeenWhenItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := metav1.Now()
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "c", UID: "c", DeletionTimestamp: &now, Finalizers: []string{claimFinalizer, "x/y"}}}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "p"}, Spec: corev1.PodSpec{NodeName: "a",
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}}}
		s := stage.New(t, claim, pod)
		s.Run(New)
		s.Add(claim)
		if s.Count("update", "persistentvolumeclaims") != 0 {
			t.Fatal("the claim was let go although a pod uses it")
		}
		pod.Status.Phase = corev1.PodSucceeded
		if _, err := s.Kube.CoreV1().Pods("n").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.Add(pod)
		if s.Count("update", "persistentvolumeclaims") != 1 {
			t.Error("the claim is kept although its last user has ended")
		}
	})
}
