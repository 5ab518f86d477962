package authz_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/request"
)

// opinions is an authorizer that allows one user.
type opinions string

func (o opinions) Authorize(_ context.Context, u *request.User, _ *request.Info) (request.Decision, string, error) {
	if u.Name == string(o) {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "not " + string(o), nil
}

// Every mode alone and in every order lets in whom one of them knows, and the
// masters always.
func TestModes(t *testing.T) {
	s := rbacStore()
	s.Put("clusterroles"+rbacSuffix, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"services"}}}})
	s.Put("clusterrolebindings"+rbacSuffix, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "r"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "r"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "RBAC"}}})
	by := map[string]request.Authorizer{
		authz.ModeNode: authz.NewNode(s), authz.ModeRBAC: authz.NewRBAC(s, slog.New(slog.DiscardHandler)),
		authz.ModeABAC: opinions("ABAC"), authz.ModeWebhook: opinions("Webhook"),
	}
	users := map[string]*request.User{
		"Node": {Name: "system:node:n1", Groups: []string{request.GroupNodes}}, "RBAC": {Name: "RBAC"},
		"ABAC": {Name: "ABAC"}, "Webhook": {Name: "Webhook"}, "nobody": {Name: "nobody"},
		"master": {Name: "root", Groups: []string{request.GroupMasters}},
	}
	all := []string{authz.ModeNode, authz.ModeRBAC, authz.ModeABAC, authz.ModeWebhook, authz.ModeAlwaysAllow, authz.ModeAlwaysDeny}
	tried := 0
	permute(all, func(list []string) {
		tried++
		a, err := authz.Chain(list, by)
		if err != nil {
			t.Fatal(err)
		}
		for name, u := range users {
			d, reason, err := a.Authorize(t.Context(), u, &request.Info{IsResource: true, Verb: "get", Resource: "services", Namespace: "a", Name: "s"})
			if err != nil {
				t.Fatal(err)
			}
			want := name == "master" || slices.Contains(list, authz.ModeAlwaysAllow) || slices.Contains(list, name)
			if d == request.Allow != want {
				t.Errorf("--authorization-mode=%s: %s: got %v (%s)", strings.Join(list, ","), name, d, reason)
			}
		}
	})
	if tried != 1956 { // all orders of one to six of six
		t.Errorf("tried %d lists", tried)
	}
	for _, list := range [][]string{{authz.ModeNode}, {authz.ModeNode, authz.ModeRBAC}, {authz.ModeAlwaysDeny}} {
		a, err := authz.Chain(list, by)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{"master": 1, "nobody": 0} {
			res, _, _, err := a.(request.RuleLister).Rules(t.Context(), users[name], "a")
			if err != nil || len(res) != want {
				t.Errorf("%v lists for %s: %v, %v", list, name, res, err)
			}
		}
	}
	for _, c := range []struct {
		list []string
		want string
	}{
		{nil, "at least one"}, {[]string{"rbac"}, "not a valid mode"}, {[]string{"RBAC", "Node", "RBAC"}, "more than once"},
	} {
		if _, err := authz.Chain(c.list, by); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.list, err)
		}
	}
	if _, err := authz.Chain([]string{"Webhook"}, nil); err == nil {
		t.Error("a mode without what it needs was accepted")
	}
}

// permute calls f with every order of every non-empty choice.
func permute(all []string, f func([]string)) {
	var next func(have []string)
	next = func(have []string) {
		if len(have) > 0 {
			f(have)
		}
		for _, m := range all {
			if !slices.Contains(have, m) {
				next(append(slices.Clone(have), m))
			}
		}
	}
	next(nil)
}
