package nodelifecycle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// watched are the conditions that turn Unknown when a node falls silent.
var watched = []corev1.NodeConditionType{
	corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure,
}

// byCondition are the taints that keep new pods from a node, by what is wrong with it.
var byCondition = []struct {
	condition corev1.NodeConditionType
	status    corev1.ConditionStatus
	taint     string
}{
	{corev1.NodeReady, corev1.ConditionFalse, corev1.TaintNodeNotReady},
	{corev1.NodeReady, corev1.ConditionUnknown, corev1.TaintNodeUnreachable},
	{corev1.NodeMemoryPressure, corev1.ConditionTrue, corev1.TaintNodeMemoryPressure},
	{corev1.NodeDiskPressure, corev1.ConditionTrue, corev1.TaintNodeDiskPressure},
	{corev1.NodeNetworkUnavailable, corev1.ConditionTrue, corev1.TaintNodeNetworkUnavailable},
	{corev1.NodePIDPressure, corev1.ConditionTrue, corev1.TaintNodePIDPressure},
}

// graces are how long a node may be silent.
type graces struct{ running, starting time.Duration }

// snapshot is all that a plan depends on.
type snapshot struct {
	node   *corev1.Node
	seen   time.Time // its last sign of life
	graces graces
	now    time.Time
}

// plan is what to write, nil for nothing, and when to look again.
type plan struct {
	conditions []corev1.NodeCondition
	taints     []corev1.Taint
	after      time.Duration
}

// planNode judges a node. may is asked once the node has earned a taint that makes pods leave; it may see the
// node as the plan leaves it.
func planNode(s snapshot, may func(*corev1.Node) verdict) plan {
	p := plan{}
	p.conditions, p.after = planHealth(s.node, s.seen, s.now, s.graces)
	n := s.node
	if p.conditions != nil {
		n = n.DeepCopy()
		n.Status.Conditions = p.conditions
	}
	var v verdict
	if evictionTaint(n) != "" {
		v = may(n)
		if v.after > 0 && (p.after == 0 || v.after < p.after) {
			p.after = v.after
		}
	}
	p.taints = planTaints(n, v.leave, v.calm, s.now)
	return p
}

// planHealth judges a node by when it last gave a sign of life. It returns the conditions to write,
// nil when those it has will do, and when to look again.
func planHealth(n *corev1.Node, seen, now time.Time, g graces) (conditions []corev1.NodeCondition, after time.Duration) {
	grace := g.running
	if conditionOf(n, corev1.NodeReady) == nil { // never reported
		grace = g.starting
		if n.CreationTimestamp.After(seen) {
			seen = n.CreationTimestamp.Time
		}
	}
	if left := seen.Add(grace).Sub(now); left > 0 {
		return nil, left
	}
	changed := false
	out := slices.Clone(n.Status.Conditions)
	for _, t := range watched {
		i := slices.IndexFunc(out, func(c corev1.NodeCondition) bool { return c.Type == t })
		if i < 0 {
			out = append(out, corev1.NodeCondition{
				Type: t, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated",
				Message:           "Kubelet never posted node status.",
				LastHeartbeatTime: n.CreationTimestamp, LastTransitionTime: metav1.NewTime(now),
			})
			changed = true
			continue
		}
		if out[i].Status != corev1.ConditionUnknown {
			out[i].Status, out[i].Reason = corev1.ConditionUnknown, "NodeStatusUnknown"
			out[i].Message, out[i].LastTransitionTime = "Kubelet stopped posting node status.", metav1.NewTime(now)
			changed = true
		}
	}
	if !changed {
		return nil, 0 // its next sign of life brings it back
	}
	return out, 0
}

func conditionOf(n *corev1.Node, t corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == t {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

func readiness(n *corev1.Node) corev1.ConditionStatus {
	if c := conditionOf(n, corev1.NodeReady); c != nil {
		return c.Status
	}
	return corev1.ConditionUnknown
}

// evictionTaint is the taint that makes pods leave the node, "" for none.
func evictionTaint(n *corev1.Node) string {
	c := conditionOf(n, corev1.NodeReady)
	switch {
	case c == nil || c.Status == corev1.ConditionTrue:
		return ""
	case c.Status == corev1.ConditionFalse:
		return corev1.TaintNodeNotReady
	}
	return corev1.TaintNodeUnreachable
}

// wantsEviction reports whether pods should begin to leave a node from which none do yet. Such a
// step is taken at a limited rate.
func wantsEviction(n *corev1.Node) bool {
	return evictionTaint(n) != "" && !slices.ContainsFunc(n.Spec.Taints, evicting)
}

func evicting(t corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoExecute && (t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable)
}

// planTaints returns the taints that a node should have, or nil when it has them. evict allows pods to
// be made to leave; calm takes such a taint back although the node is not well.
func planTaints(n *corev1.Node, evict, calm bool, now time.Time) []corev1.Taint {
	want := map[corev1.Taint]bool{} // key and effect
	for _, c := range byCondition {
		if have := conditionOf(n, c.condition); have != nil && have.Status == c.status {
			want[corev1.Taint{Key: c.taint, Effect: corev1.TaintEffectNoSchedule}] = true
		}
	}
	if n.Spec.Unschedulable {
		want[corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}] = true
	}
	if key := evictionTaint(n); key != "" && !calm && (evict || slices.ContainsFunc(n.Spec.Taints, evicting)) {
		want[corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute}] = true
	}
	out := []corev1.Taint{}
	changed := false
	for _, t := range n.Spec.Taints {
		bare := corev1.Taint{Key: t.Key, Effect: t.Effect}
		switch {
		case want[bare]:
			delete(want, bare)
			out = append(out, t)
		case ours(n, t):
			changed = true
		default:
			out = append(out, t)
		}
	}
	at := metav1.NewTime(now)
	for _, c := range append(managed(), corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute},
		corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}) {
		if want[c] {
			c.TimeAdded = &at
			out, changed = append(out, c), true
		}
	}
	if !changed {
		return nil
	}
	return out
}

// managed are the NoSchedule taints that follow conditions, in a fixed order.
func managed() []corev1.Taint {
	var out []corev1.Taint
	for _, c := range byCondition {
		out = append(out, corev1.Taint{Key: c.taint, Effect: corev1.TaintEffectNoSchedule})
	}
	return append(out, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
}

// ours reports whether a taint is one that only this controller removes. The taint that a new node comes
// with stays until the node has reported.
func ours(n *corev1.Node, t corev1.Taint) bool {
	if evicting(t) {
		return true
	}
	if t.Key == corev1.TaintNodeNotReady && conditionOf(n, corev1.NodeReady) == nil {
		return false
	}
	return slices.ContainsFunc(managed(), func(m corev1.Taint) bool { return m.Key == t.Key && m.Effect == t.Effect })
}
