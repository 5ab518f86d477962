package controllers_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kit"
)

func TestCascades(t *testing.T) {
	for _, how := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan} {
		t.Run(string(how), func(t *testing.T) {
			c := newCluster(t)
			c.runPods()
			api := c.kube.AppsV1().Deployments("default")
			must[*appsv1.Deployment](t)(api.Create(c.ctx, nginx(3, "nginx:1"), metav1.CreateOptions{}))
			deployments := informer[*appsv1.Deployment](c, appsv1.SchemeGroupVersion, "deployments")
			sets := informer[*appsv1.ReplicaSet](c, appsv1.SchemeGroupVersion, "replicasets")
			pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
			until(c, deployments, "available", func() bool {
				d, ok := deployments.Get("default", "nginx")
				return ok && d.Status.AvailableReplicas == 3
			})
			deployments.OnChange(kit.Handler[*appsv1.Deployment]{Delete: func(*appsv1.Deployment) {
				if n := len(sets.List()); how == metav1.DeletePropagationForeground && n > 0 {
					t.Errorf("deployment went before its %d replica sets", n)
				}
			}})
			if err := api.Delete(c.ctx, "nginx", metav1.DeleteOptions{PropagationPolicy: &how}); err != nil {
				t.Fatal(err)
			}
			until(c, deployments, "deployment gone", func() bool { return len(deployments.List()) == 0 })
			if how != metav1.DeletePropagationOrphan {
				until(c, pods, "pods gone", func() bool { return len(pods.List()) == 0 })
				until(c, sets, "sets gone", func() bool { return len(sets.List()) == 0 })
				return
			}
			until(c, sets, "the set is free", func() bool {
				l := sets.List()
				return len(l) == 1 && len(l[0].OwnerReferences) == 0
			})
			if n := len(pods.List()); n != 3 {
				t.Errorf("%d pods are left, want 3", n)
			}
			// A deployment like the old one takes the set over.
			must[*appsv1.Deployment](t)(api.Create(c.ctx, nginx(3, "nginx:1"), metav1.CreateOptions{}))
			until(c, sets, "adopted", func() bool {
				l := sets.List()
				return len(l) == 1 && len(l[0].OwnerReferences) == 1
			})
		})
	}
}

func TestDependentOfNobodyGoes(t *testing.T) {
	c := newCluster(t)
	maps := informer[*corev1.ConfigMap](c, corev1.SchemeGroupVersion, "configmaps")
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "leaf", Namespace: "default", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "never", UID: "was"}}}}
	must[*corev1.ConfigMap](t)(c.kube.CoreV1().ConfigMaps("default").Create(c.ctx, m, metav1.CreateOptions{}))
	until(c, maps, "leaf gone", func() bool { _, ok := maps.Get("default", "leaf"); return !ok })
}
