package authz

import (
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// aggregated is a cluster role with n rules that is labelled and selects by a label.
func aggregated(name, label, selects string, n int) *rbacv1.ClusterRole {
	r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"l": label}}, Rules: make([]rbacv1.PolicyRule, n)}
	if selects != "" {
		r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"l": selects}}}}
	}
	return r
}

// Roles that contain each other, and long chains of roles, come to an end.
func TestAggregationEnds(t *testing.T) {
	x := newIndex()
	x.put(aggregated("a", "a", "b", 1))
	x.put(aggregated("b", "b", "a", 1))
	const chain = 2000
	for i := range chain {
		x.put(aggregated(fmt.Sprint("c", i), fmt.Sprint("c", i), fmt.Sprint("c", i+1), 0))
	}
	x.put(aggregated(fmt.Sprint("c", chain), fmt.Sprint("c", chain), "", 3))
	for name, want := range map[string]int{"a": 2, "b": 2, "c0": 3} {
		if rules, ok := x.gather(x.aggregates[name], &budget{bounds.AggregatedRules, 1 << 30}); !ok || len(rules) != want {
			t.Errorf("%s: %d rules, %v, want %d", name, len(rules), ok, want)
		}
	}
	// Each of the chain's roles leads to all after it: looking at all would take minutes.
	if left := x.settle(); left == 0 {
		t.Error("nothing was left out")
	}
}

// What all roles gather together is bounded; those left out keep their own rules
// and are counted.
func TestAggregationIsBounded(t *testing.T) {
	x := newIndex()
	x.put(aggregated("big", "big", "", bounds.AggregatedRules/3))
	for i := range 5 {
		x.put(aggregated(fmt.Sprint("r", i), "r", "big", 2))
	}
	if left := x.settle(); left != 3 {
		t.Errorf("%d roles left, want 3", left)
	}
	for i, want := range []int{bounds.AggregatedRules/3 + 2, bounds.AggregatedRules/3 + 2, 2, 2, 2} {
		if got := len(x.aggregates[fmt.Sprint("r", i)].rules); got != want {
			t.Errorf("r%d has %d rules, want %d", i, got, want)
		}
	}
}

// Roles of namespaces take nothing of what cluster roles may gather.
func TestAggregationIsTheClusters(t *testing.T) {
	x := newIndex()
	for i := range bounds.AggregationSteps / 10 {
		x.roles[roleKey{"tenant", fmt.Sprint("r", i)}] = &role{}
	}
	x.put(aggregated("admin", "a", "b", 1))
	for i := range 20 {
		x.put(aggregated(fmt.Sprint("part", i), "b", "c", 1))
	}
	if left := x.settle(); left != 0 || len(x.aggregates["admin"].rules) != 21 {
		t.Errorf("%d roles left, admin has %d rules", left, len(x.aggregates["admin"].rules))
	}
	x.remove(aggregated("part0", "b", "c", 1))
	if x.settle(); len(x.aggregates["admin"].rules) != 20 {
		t.Errorf("admin has %d rules after one part went", len(x.aggregates["admin"].rules))
	}
}
