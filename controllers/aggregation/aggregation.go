// Package aggregation fills the cluster roles that are made of others
// (aggregationRule): admin, edit and view among them.
package aggregation

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// New makes the controller. Its keys are aggregated roles.
func New(e *env.Env) (env.Runner, error) {
	roles := e.ClusterRoles()
	roles.AddIndex("aggregated", func(r *rbacv1.ClusterRole) []string {
		if r.AggregationRule != nil {
			return []string{"yes"}
		}
		return nil
	})
	loop := e.Controller("clusterrole-aggregation-controller", func(ctx context.Context, key kit.Key) (kit.Result, error) {
		r, ok := roles.Get("", key.Name)
		if !ok {
			return kit.Result{}, nil
		}
		rules, changed, err := planRules(r, roles.List())
		if err != nil {
			return kit.Result{}, kit.Terminal(err)
		}
		if !changed {
			return kit.Result{}, nil
		}
		out := r.DeepCopy()
		out.Rules = rules
		if _, err := e.Kube.RbacV1().ClusterRoles().Update(ctx, out, metav1.UpdateOptions{}); err != nil {
			return kit.Result{}, fmt.Errorf("writing the aggregated rules: %w", err)
		}
		return kit.Result{}, nil
	})
	// A change of a role concerns those that select it, by its old labels or its new ones.
	kit.Watch(loop, roles, func(changed *rbacv1.ClusterRole) []kit.Key {
		var keys []kit.Key
		for _, r := range roles.ByIndex("aggregated", "yes") {
			if r.Name == changed.Name || selects(r, changed) {
				keys = append(keys, kit.KeyOf(r))
			}
		}
		return keys
	})
	return loop, nil
}

func selects(r, other *rbacv1.ClusterRole) bool {
	for i := range r.AggregationRule.ClusterRoleSelectors {
		s, err := metav1.LabelSelectorAsSelector(&r.AggregationRule.ClusterRoleSelectors[i])
		if err == nil && s.Matches(labels.Set(other.Labels)) {
			return true
		}
	}
	return false
}

// planRules joins the rules of the selected roles, by name, each rule once.
func planRules(r *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) (rules []rbacv1.PolicyRule, changed bool, err error) {
	if r.AggregationRule == nil {
		return nil, false, nil
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		if _, err := metav1.LabelSelectorAsSelector(&r.AggregationRule.ClusterRoleSelectors[i]); err != nil {
			return nil, false, fmt.Errorf("aggregation selector %d: %w", i, err)
		}
	}
	sorted := slices.SortedFunc(slices.Values(all), func(a, b *rbacv1.ClusterRole) int { return cmp.Compare(a.Name, b.Name) })
	for _, o := range sorted {
		if o.Name == r.Name || !selects(r, o) {
			continue
		}
		for _, rule := range o.Rules {
			if !slices.ContainsFunc(rules, func(have rbacv1.PolicyRule) bool { return apiequality.Semantic.DeepEqual(have, rule) }) {
				rules = append(rules, rule)
			}
		}
	}
	return rules, !apiequality.Semantic.DeepEqual(r.Rules, rules), nil
}
