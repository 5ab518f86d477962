package daemonset

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestJudgedAlike: the news of a node that no template can tell from what was known of it
// make nobody look; all that a template can ask for does.
func TestJudgedAlike(t *testing.T) {
	node := func(change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"a": "b"}},
			Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}}}
		if change != nil {
			change(n)
		}
		return n
	}
	for name, c := range map[string]struct {
		change func(*corev1.Node)
		alike  bool
	}{
		"nothing":   {nil, true},
		"heartbeat": {func(n *corev1.Node) { n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady}} }, true},
		"note":      {func(n *corev1.Node) { n.Annotations = map[string]string{"a": "b"} }, true},
		"cordoned":  {func(n *corev1.Node) { n.Spec.Unschedulable = true }, true}, // the taint says so to daemons
		"label":     {func(n *corev1.Node) { n.Labels["a"] = "c" }, false},
		"no label":  {func(n *corev1.Node) { n.Labels = nil }, false},
		"taint":     {func(n *corev1.Node) { n.Spec.Taints[0].Effect = corev1.TaintEffectNoExecute }, false},
		"no taint":  {func(n *corev1.Node) { n.Spec.Taints = nil }, false},
	} {
		old, now := node(nil), node(c.change)
		if got := judgedAlike(old, now); got != c.alike {
			t.Errorf("%s: judged alike: %v", name, got)
		}
		if !c.alike {
			continue
		}
		for _, spec := range []corev1.PodSpec{{}, {NodeName: "n"}, {NodeSelector: map[string]string{"a": "b"}}, {Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}}} {
			run, stay := newFitter(&spec).judge(old)
			if r, s := newFitter(&spec).judge(now); r != run || s != stay {
				t.Errorf("%s: %+v tells them apart", name, spec)
			}
		}
	}
}
