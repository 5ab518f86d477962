package podgc

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod(name string, phase corev1.PodPhase, minute int, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(int64(minute)*60, 0)}, Status: corev1.PodStatus{Phase: phase}}
	for _, f := range change {
		f(p)
	}
	return p
}

func going(p *corev1.Pod)   { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
func evicted(p *corev1.Pod) { p.Status.Reason = "Evicted" }
func onNode(p *corev1.Pod)  { p.Spec.NodeName = "n" }

func TestFinishedPodsBeyondTheThresholdGo(t *testing.T) {
	pods := []*corev1.Pod{
		pod("b", corev1.PodSucceeded, 2), pod("a", corev1.PodSucceeded, 1), pod("young-evicted", corev1.PodFailed, 9, evicted),
		pod("runs", corev1.PodRunning, 0), pod("going", corev1.PodSucceeded, 0, going), pod("c", corev1.PodFailed, 3),
	}
	for _, x := range []struct {
		threshold int
		want      string
	}{{4, ""}, {3, "young-evicted"}, {2, "young-evicted a"}, {0, "young-evicted a b c"}, {-1, ""}} {
		var got []string
		for _, p := range planTerminated(pods, x.threshold) {
			got = append(got, p.Name)
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("threshold %d: %v go, want %s", x.threshold, got, x.want)
		}
	}
}

func TestPodsThatNobodyWillEnd(t *testing.T) {
	if unscheduledTerminating(pod("p", corev1.PodPending, 0)) || unscheduledTerminating(pod("p", corev1.PodPending, 0, going, onNode)) {
		t.Error("a pod that lives or has a kubelet is taken for abandoned")
	}
	if !unscheduledTerminating(pod("p", corev1.PodPending, 0, going)) {
		t.Error("a deleted pod without a node is left")
	}
	node := func(ready corev1.ConditionStatus, taint string) *corev1.Node {
		return &corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: taint}}},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
	}
	for _, x := range []struct {
		name string
		pod  *corev1.Pod
		node *corev1.Node
		want bool
	}{
		{"out of service", pod("p", corev1.PodRunning, 0, going), node(corev1.ConditionUnknown, corev1.TaintNodeOutOfService), true},
		{"ready after all", pod("p", corev1.PodRunning, 0, going), node(corev1.ConditionTrue, corev1.TaintNodeOutOfService), false},
		{"only silent", pod("p", corev1.PodRunning, 0, going), node(corev1.ConditionUnknown, corev1.TaintNodeUnreachable), false},
		{"not deleted", pod("p", corev1.PodRunning, 0), node(corev1.ConditionUnknown, corev1.TaintNodeOutOfService), false},
	} {
		if outOfService(x.pod, x.node) != x.want {
			t.Errorf("%s: want %t", x.name, x.want)
		}
	}
}
