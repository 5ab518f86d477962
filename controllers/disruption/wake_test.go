package disruption

import (
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/controllers/stage"
)

// TestAControllerSeenAfterItsPods: the budget is counted again once it is known who wants the pods.
func TestAControllerSeenAfterItsPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		labels := map[string]string{"a": "b"}
		one, three, yes := intstr.FromInt32(1), int32(3), true
		budget := &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "b", UID: "b"},
			Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}},
		}
		s := stage.New(t, budget)
		s.Run(New)
		s.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "p", Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ReplicationController", Name: "c", UID: "c", Controller: &yes}}}})
		s.Add(budget)
		expected := func() int32 {
			b, err := s.Kube.PolicyV1().PodDisruptionBudgets("n").Get(t.Context(), "b", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return b.Status.ExpectedPods
		}
		s.Add(&corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "c", UID: "c"}, Spec: corev1.ReplicationControllerSpec{Replicas: &three}})
		if n := expected(); n != 3 {
			t.Errorf("%d pods expected, want 3: nobody looked again", n)
		}
		five := int32(5)
		s.Modify(&corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "c", UID: "c"}, Spec: corev1.ReplicationControllerSpec{Replicas: &five}})
		if n := expected(); n != 5 {
			t.Errorf("%d pods expected, want 5: nobody looked at the new size", n)
		}
	})
}

// TestSizesThatDoNotFit: the sum of what controllers want is bounded, not wrapped round.
func TestSizesThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		labels := map[string]string{"a": "b"}
		one, huge, yes := intstr.FromInt32(1), int32(1<<31-1), true
		budget := &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "b", UID: "b"},
			Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}},
		}
		s := stage.New(t, budget)
		for _, name := range []string{"x", "y"} {
			s.First(&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID(name)}, Spec: appsv1.StatefulSetSpec{Replicas: &huge}})
			s.First(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, Labels: labels,
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: name, UID: types.UID(name), Controller: &yes}}}})
		}
		s.Run(New)
		s.Add(budget)
		b, err := s.Kube.PolicyV1().PodDisruptionBudgets("n").Get(t.Context(), "b", metav1.GetOptions{})
		if err != nil || b.Status.ExpectedPods != huge || b.Status.DisruptionsAllowed != 0 {
			t.Errorf("%+v, %v", b.Status, err)
		}
	})
}
