package bootstrap_test

import (
	"context"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

func newStore() *storetest.Store {
	return storetest.New("clusterroles.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io",
		"roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io")
}

var now = time.Unix(1_700_000_000, 0)

func clusterRole(t *testing.T, s *storetest.Store, name string) *rbacv1.ClusterRole {
	t.Helper()
	c, _ := s.Collection(rbacv1.GroupName, "clusterroles")
	e, err := c.Get(context.Background(), store.Key{Name: name}, store.Freshness{})
	if err != nil {
		t.Fatal(err)
	}
	return e.Object.(*rbacv1.ClusterRole)
}

func TestEnsureIsIdempotent(t *testing.T) {
	s := newStore()
	for range 2 {
		if err := bootstrap.Ensure(t.Context(), s, now); err != nil {
			t.Fatal(err)
		}
	}
	first := clusterRole(t, s, "edit").ResourceVersion
	if err := bootstrap.Ensure(t.Context(), s, now); err != nil {
		t.Fatal(err)
	}
	if v := clusterRole(t, s, "edit").ResourceVersion; v != first {
		t.Errorf("edit was written again: %s, then %s", first, v)
	}
	if clusterRole(t, s, "edit").UID == "" {
		t.Error("no uid")
	}
}

func TestEnsureRepairs(t *testing.T) {
	s := newStore()
	if err := bootstrap.Ensure(t.Context(), s, now); err != nil {
		t.Fatal(err)
	}
	spoiled := clusterRole(t, s, "system:kube-scheduler").DeepCopy()
	extra := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{"x"}, Resources: []string{"y"}}
	spoiled.Rules = []rbacv1.PolicyRule{extra}
	s.Put("clusterroles.rbac.authorization.k8s.io", spoiled)
	owned := clusterRole(t, s, "system:node").DeepCopy()
	owned.Rules, owned.Annotations[rbacv1.AutoUpdateAnnotationKey] = nil, "false"
	s.Put("clusterroles.rbac.authorization.k8s.io", owned)
	if err := bootstrap.Ensure(t.Context(), s, now); err != nil {
		t.Fatal(err)
	}
	if got := clusterRole(t, s, "system:kube-scheduler"); len(got.Rules) < 10 || got.Rules[0].APIGroups[0] != "x" {
		t.Errorf("rules not repaired or the extra one lost: %v", got.Rules)
	}
	if got := clusterRole(t, s, "system:node"); len(got.Rules) != 0 {
		t.Error("a role with autoupdate=false was changed")
	}
}

func TestNamesAreUniqueAndRefsExist(t *testing.T) {
	p := bootstrap.Default()
	roles := map[string]bool{}
	for _, r := range p.ClusterRoles {
		if roles[r.Name] {
			t.Errorf("cluster role %s twice", r.Name)
		}
		roles[r.Name] = true
		for _, rule := range r.Rules {
			if len(rule.Verbs) == 0 || len(rule.Resources) == 0 && len(rule.NonResourceURLs) == 0 {
				t.Errorf("%s: empty rule %v", r.Name, rule)
			}
		}
	}
	for _, b := range p.ClusterRoleBindings {
		if !roles[b.RoleRef.Name] {
			t.Errorf("binding %s refers to no role", b.Name)
		}
	}
}
