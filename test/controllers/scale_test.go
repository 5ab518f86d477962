package controllers_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BenchmarkThousandPods takes a deployment of 1,000 pods from nothing to available and back to nothing.
func BenchmarkThousandPods(b *testing.B) {
	for b.Loop() {
		c := newCluster(b)
		c.runPods()
		pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
		deployments := informer[*appsv1.Deployment](c, appsv1.SchemeGroupVersion, "deployments")
		start := time.Now()
		must[*appsv1.Deployment](b)(c.kube.AppsV1().Deployments("default").Create(c.ctx, nginx(1000, "v1"), metav1.CreateOptions{}))
		until(c, deployments, "available", func() bool {
			d, ok := deployments.Get("default", "nginx")
			return ok && d.Status.AvailableReplicas == 1000
		})
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "up-ms")
		start = time.Now()
		if err := c.kube.AppsV1().Deployments("default").Delete(c.ctx, "nginx", metav1.DeleteOptions{}); err != nil {
			b.Fatal(err)
		}
		until(c, pods, "gone", func() bool { return pods.Len() == 0 })
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "down-ms")
	}
}
