package authz_test

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"hyperkube/apiserver/authz"
	"hyperkube/internal/bounds"
)

func names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}

// A role of a few kilobytes can name billions of rights; they are not written out.
func TestMissingIsBounded(t *testing.T) {
	held := []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	huge := rbacv1.PolicyRule{Verbs: names("v", 2000), APIGroups: names("g", 2000), Resources: names("r", 2000), ResourceNames: names("n", 2000)}
	if _, _, err := authz.Missing(held, []rbacv1.PolicyRule{huge}); err == nil || !strings.Contains(err.Error(), "rights") {
		t.Errorf("got %v", err)
	}
	many := make([]rbacv1.PolicyRule, 1000)
	for i := range many {
		many[i] = rbacv1.PolicyRule{Verbs: names("v", 10), NonResourceURLs: names("/u", 10)}
	}
	if _, _, err := authz.Missing(held, many); err == nil {
		t.Error("many rules were written out")
	}
	same := rbacv1.PolicyRule{Verbs: make([]string, 100_000), APIGroups: []string{""}, Resources: []string{"pods"}}
	for i := range same.Verbs {
		same.Verbs[i] = "get"
	}
	if missing, _, err := authz.Missing(held, []rbacv1.PolicyRule{same}); err != nil || len(missing) > 0 {
		t.Errorf("%v, %v", missing, err)
	}
	missing, more, err := authz.Missing(held, []rbacv1.PolicyRule{{Verbs: names("v", 300), APIGroups: []string{""}, Resources: []string{"pods"}}})
	if err != nil || len(missing) != bounds.Errors || more != 300-bounds.Errors {
		t.Errorf("%d and %d more, %v", len(missing), more, err)
	}
}
