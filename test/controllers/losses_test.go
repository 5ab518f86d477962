package controllers_test

import (
	"strings"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/kit"
)

// TestPodsThatNeverStart: whoever ends every pod before it starts, refusing or deleting it, its owner does not
// make the next ones as fast as it can, and says so.
func TestPodsThatNeverStart(t *testing.T) {
	template := nginx(1, "v1").Spec.Template
	selector := &metav1.LabelSelector{MatchLabels: template.Labels}
	one := int32(1)
	refused := func(c *cluster, p *corev1.Pod) error {
		patch := []byte(`{"status":{"phase":"Failed","reason":"PodOSNotSupported"}}`)
		_, err := c.kube.CoreV1().Pods(p.Namespace).Patch(c.ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	}
	deleted := func(c *cluster, p *corev1.Pod) error {
		now := int64(0)
		return c.kube.CoreV1().Pods(p.Namespace).Delete(c.ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	meta := metav1.ObjectMeta{Name: "x", Namespace: "default"}
	owners := map[string]func(*cluster) error{
		"ReplicaSet": func(c *cluster) error {
			_, err := c.kube.AppsV1().ReplicaSets("default").Create(c.ctx, &appsv1.ReplicaSet{ObjectMeta: meta,
				Spec: appsv1.ReplicaSetSpec{Replicas: &one, Selector: selector, Template: template}}, metav1.CreateOptions{})
			return err
		},
		"ReplicationController": func(c *cluster) error {
			_, err := c.kube.CoreV1().ReplicationControllers("default").Create(c.ctx, &corev1.ReplicationController{ObjectMeta: meta,
				Spec: corev1.ReplicationControllerSpec{Replicas: &one, Selector: template.Labels, Template: &template}}, metav1.CreateOptions{})
			return err
		},
		"StatefulSet": func(c *cluster) error {
			_, err := c.kube.AppsV1().StatefulSets("default").Create(c.ctx, &appsv1.StatefulSet{ObjectMeta: meta,
				Spec: appsv1.StatefulSetSpec{Replicas: &one, ServiceName: "x", Selector: selector, Template: template}}, metav1.CreateOptions{})
			return err
		},
		"DaemonSet": func(c *cluster) error {
			if _, err := c.kube.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{}); err != nil {
				return err
			}
			_, err := c.kube.AppsV1().DaemonSets("default").Create(c.ctx, &appsv1.DaemonSet{ObjectMeta: meta,
				Spec: appsv1.DaemonSetSpec{Selector: selector, Template: tolerant(template)}}, metav1.CreateOptions{})
			return err
		},
	}
	for kind, create := range owners {
		for how, end := range map[string]func(*cluster, *corev1.Pod) error{"refused": refused, "deleted": deleted} {
			if kind == "DaemonSet" && how == "refused" {
				continue // replaced at the pace of each node
			}
			t.Run(kind+" "+how, func(t *testing.T) {
				c := newCluster(t)
				var made atomic.Int32
				pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
				pods.OnChange(kit.Handler[*corev1.Pod]{Add: func(p *corev1.Pod, _ bool) {
					made.Add(1)
					go func() {
						if err := end(c, p); err != nil && c.ctx.Err() == nil { // the test may be over meanwhile
							t.Errorf("ending %s: %v", p.Name, err)
						}
					}()
				}})
				if err := create(c); err != nil {
					t.Fatal(err)
				}
				events := informer[*corev1.Event](c, corev1.SchemeGroupVersion, "events")
				until(c, events, "told that pods wait", func() bool {
					for _, e := range events.List() {
						if e.InvolvedObject.Kind == kind && e.Reason == "FailedCreate" && strings.HasPrefix(e.Message, "Pods end before a container of them starts") {
							return true
						}
					}
					return false
				})
				if n := made.Load(); n > 5 {
					t.Errorf("%d pods before the first pause", n)
				}
			})
		}
	}
}

// tolerant pods fit every node.
func tolerant(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	t = *t.DeepCopy()
	t.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	return t
}
