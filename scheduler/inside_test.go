package scheduler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/framework"
)

func podNamed(name string, uid types.UID, app string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: uid, Labels: map[string]string{"app": app}}}
}

func TestInbox(t *testing.T) {
	b := newInbox()
	if _, ok := b.take(); ok {
		t.Error("a new inbox is not empty")
	}
	a, newer, anew := podNamed("a", "1", ""), podNamed("a", "1", "x"), podNamed("a", "2", "")
	b.pod("1", a)
	b.pod("3", podNamed("c", "3", ""))
	b.podUpdated(a, newer)
	b.podUpdated(newer, anew) // another pod of the name: the first is gone
	b.node("n", nil)
	b.note(noteStorage)
	select {
	case <-b.ready:
	default:
		t.Error("nobody was told")
	}
	c, ok := b.take()
	if !ok || c.pods["1"] != nil || c.pods["2"] != anew || c.notes != noteStorage {
		t.Errorf("%+v", c)
	}
	if d := cmp.Diff([]types.UID{"1", "3", "2"}, c.order); d != "" {
		t.Error(d)
	}
	if n, told := c.nodes["n"]; n != nil || !told {
		t.Error("the node's end is lost")
	}
	if _, ok := b.take(); ok {
		t.Error("taken twice")
	}
	b.close()
	b.pod("1", a)
	if _, ok := b.take(); ok {
		t.Error("a closed inbox collects")
	}
}

func TestBudgets(t *testing.T) {
	budget := func(name, app string, allowed int32, disrupted ...string) *policyv1.PodDisruptionBudget {
		b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
		b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
		b.Status.DisruptionsAllowed = allowed
		b.Status.DisruptedPods = map[string]metav1.Time{}
		for _, p := range disrupted {
			b.Status.DisruptedPods[p] = metav1.Time{}
		}
		return b
	}
	nobody := budget("nobody", "", 0)
	nobody.Spec.Selector = nil
	foreign := budget("foreign", "a", 0)
	foreign.Namespace = "other"
	breaks := budgetOf([]*policyv1.PodDisruptionBudget{budget("a", "a", 1, "a3"), budget("b", "b", 0), nobody, foreign})
	var pods []*framework.Pod
	for _, p := range []*corev1.Pod{podNamed("a1", "1", "a"), podNamed("a2", "2", "a"), podNamed("a3", "3", "a"), podNamed("b1", "4", "b"), podNamed("c1", "5", "c")} {
		pods = append(pods, &framework.Pod{Pod: p})
	}
	want := []bool{false, true, false, true, false} // a3 was counted already
	for range 2 {
		if d := cmp.Diff(want, breaks(pods)); d != "" {
			t.Error(d)
		}
	}
}

func TestNodeChangesThatMatter(t *testing.T) {
	old := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	for name, c := range map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"heartbeat": {func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, LastHeartbeatTime: metav1.Now()}}
		}, false},
		"images":   {func(n *corev1.Node) { n.Status.Images = []corev1.ContainerImage{{Names: []string{"x"}}} }, false},
		"uncordon": {func(n *corev1.Node) { n.Spec.Unschedulable = true }, true},
		"taint":    {func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "a"}} }, true},
		"label":    {func(n *corev1.Node) { n.Labels = map[string]string{"a": "b"} }, true},
	} {
		n := old.DeepCopy()
		c.change(n)
		if got := matters(old, n); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
