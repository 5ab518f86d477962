package aggregation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRulesOfSelectedRolesAreJoined(t *testing.T) {
	rule := func(verb string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: []string{""}, Resources: []string{"pods"}}
	}
	role := func(name, label string, verbs ...string) *rbacv1.ClusterRole {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"to": label}}}
		for _, v := range verbs {
			r.Rules = append(r.Rules, rule(v))
		}
		return r
	}
	sum := role("sum", "x")
	sum.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{"to": "x"}}, {MatchLabels: map[string]string{"to": "y"}}}}
	all := []*rbacv1.ClusterRole{role("c", "y", "get", "watch"), role("a", "x", "list", "get"), role("b", "z", "delete"), sum}
	got, changed, err := planRules(sum, all)
	if want := []rbacv1.PolicyRule{rule("list"), rule("get"), rule("watch")}; err != nil || !changed || !cmp.Equal(got, want) {
		t.Fatalf("rules %v, changed %t, %v; want %v", got, changed, err, want)
	}
	sum.Rules = got
	if _, changed, _ := planRules(sum, all); changed {
		t.Error("what is right is written again")
	}
	if got, changed, _ := planRules(sum, nil); !changed || len(got) != 0 {
		t.Errorf("without roles: %v, %t", got, changed)
	}
	if _, changed, _ := planRules(all[0], all); changed {
		t.Error("a role without a rule of aggregation is changed")
	}
	sum.AggregationRule.ClusterRoleSelectors[0].MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "k", Operator: "Wrong"}}
	if _, _, err := planRules(sum, all); err == nil {
		t.Error("a wrong selector is taken for none")
	}
}
