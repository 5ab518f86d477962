package controllers_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// reportNode posts a node's readiness as its kubelet would.
func (c *cluster) reportNode(name string, ready corev1.ConditionStatus) {
	c.t.Helper()
	patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":%q}]}}`, ready)
	must[*corev1.Node](c.t)(c.kube.CoreV1().Nodes().Patch(c.ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"))
}

// placePod makes a pod that runs on a node and is ready.
func (c *cluster) placePod(name, node string, tolerations ...corev1.Toleration) {
	c.t.Helper()
	api := c.kube.CoreV1().Pods("default")
	p := must[*corev1.Pod](c.t)(api.Create(c.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		NodeName: node, Tolerations: tolerations, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{}))
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	must[*corev1.Pod](c.t)(api.UpdateStatus(c.ctx, p, metav1.UpdateOptions{}))
}

func podCondition(p *corev1.Pod, t corev1.PodConditionType) corev1.PodCondition {
	i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == t })
	if i < 0 {
		return corev1.PodCondition{}
	}
	return p.Status.Conditions[i]
}

func TestPodsLeaveAnUnwellNode(t *testing.T) {
	c := newCluster(t)
	nodes := informer[*corev1.Node](c, corev1.SchemeGroupVersion, "nodes")
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	for _, name := range []string{"a", "b"} {
		must[*corev1.Node](t)(c.kube.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
		c.reportNode(name, corev1.ConditionTrue)
	}
	tainted := func(want ...string) func() bool {
		return func() bool {
			n, ok := nodes.Get("", "b")
			if !ok {
				return false
			}
			var have []string
			for _, t := range n.Spec.Taints {
				have = append(have, t.Key+":"+string(t.Effect))
			}
			return slices.Equal(have, want)
		}
	}
	until(c, nodes, "well", tainted())
	zero := int64(0)
	c.placePod("quick", "b", corev1.Toleration{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &zero})
	c.placePod("patient", "b", corev1.Toleration{Operator: corev1.TolerationOpExists})
	c.reportNode("b", corev1.ConditionFalse)
	until(c, nodes, "tainted", tainted("node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"))
	until(c, pods, "the quick pod leaves", func() bool {
		p, ok := pods.Get("default", "quick")
		return ok && p.DeletionTimestamp != nil && podCondition(p, corev1.DisruptionTarget).Reason == "DeletionByTaintManager"
	})
	until(c, pods, "the other is not ready", func() bool {
		p, ok := pods.Get("default", "patient")
		return ok && podCondition(p, corev1.PodReady).Status == corev1.ConditionFalse
	})
	c.reportNode("b", corev1.ConditionTrue)
	until(c, nodes, "well again", tainted())
	if p, ok := pods.Get("default", "patient"); !ok || p.DeletionTimestamp != nil {
		t.Error("a pod that tolerates everything was removed")
	}
}

func TestEvictionFollowsTolerations(t *testing.T) {
	c := newCluster(t)
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	must[*corev1.Node](t)(c.kube.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}}}, metav1.CreateOptions{}))
	hour, now := int64(3600), int64(0)
	tolerate := corev1.Toleration{Key: "k", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &hour}
	c.placePod("p", "a", tolerate)
	edit(c, c.kube.CoreV1().Pods("default"), "p", func(p *corev1.Pod) {
		for i := range p.Spec.Tolerations {
			if p.Spec.Tolerations[i].Key == "k" {
				p.Spec.Tolerations[i].TolerationSeconds = &now
			}
		}
	})
	until(c, pods, "it leaves at once", func() bool {
		p, ok := pods.Get("default", "p")
		return ok && p.DeletionTimestamp != nil
	})
}
