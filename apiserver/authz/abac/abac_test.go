package abac_test

import (
	"strings"
	"testing"

	"hyperkube/apiserver/authz/abac"
	"hyperkube/apiserver/request"
)

const head = `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":`

func TestPolicies(t *testing.T) {
	p, err := abac.Parse(strings.NewReader(`
# comments and empty lines are passed over

` + head + `{"user":"ann","namespace":"*","resource":"*","apiGroup":"*"}}
` + head + `{"user":"ann","nonResourcePath":"*"}}
` + head + `{"user":"bob","namespace":"web","resource":"pods","readonly":true}}
` + head + `{"user":"bob","nonResourcePath":"/healthz*"}}
` + head + `{"group":"ops","namespace":"web","resource":"deployments","apiGroup":"apps"}}
` + head + `{"user":"eve","group":"ops","namespace":"*","resource":"secrets"}}
` + head + `{"namespace":"*","resource":"*","apiGroup":"*"}}
` + head + `{"group":"*","nonResourcePath":"/version"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	ops := []string{"ops"}
	resource := func(verb, group, res, ns string) *request.Info {
		return &request.Info{IsResource: true, Verb: verb, Group: group, Resource: res, Namespace: ns}
	}
	for _, c := range []struct {
		who  request.User
		what *request.Info
		want bool
	}{
		{request.User{Name: "ann"}, resource("delete", "apps", "deployments", "any"), true},
		{request.User{Name: "ann"}, &request.Info{Verb: "get", Path: "/metrics"}, true},
		{request.User{Name: "bob"}, resource("list", "", "pods", "web"), true},
		{request.User{Name: "bob"}, resource("delete", "", "pods", "web"), false},
		{request.User{Name: "bob"}, resource("impersonate", "", "pods", "web"), false},
		{request.User{Name: "bob"}, resource("list", "", "pods", "other"), false},
		{request.User{Name: "bob"}, resource("list", "", "pods", ""), false},
		{request.User{Name: "bob"}, resource("list", "metrics.k8s.io", "pods", "web"), false},
		{request.User{Name: "bob"}, resource("list", "", "", ""), false},
		{request.User{Name: "bob"}, &request.Info{Verb: "get", Path: "/healthz/etcd"}, true},
		{request.User{Name: "bob"}, &request.Info{Verb: "get", Path: "/metrics"}, false},
		{request.User{Name: "joe", Groups: ops}, resource("create", "apps", "deployments", "web"), true},
		{request.User{Name: "joe", Groups: ops}, resource("get", "", "secrets", "web"), false},
		{request.User{Name: "eve"}, resource("get", "", "secrets", "web"), false},
		{request.User{Name: "eve", Groups: ops}, resource("get", "", "secrets", "web"), true},
		{request.User{Name: "joe"}, resource("get", "", "pods", "web"), false},
		{request.User{Name: "joe"}, &request.Info{Verb: "get", Path: "/version"}, true},
		{request.User{Name: "joe"}, &request.Info{Verb: "get", Path: ""}, false},
	} {
		d, _, err := p.Authorize(t.Context(), &c.who, c.what)
		if err != nil || d == request.Allow != c.want {
			t.Errorf("%s %v: got %v, %v", c.who.Name, *c.what, d, err)
		}
	}
}

func TestBadPoliciesAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		head + `{"user":"a"}}` + "\n{":                  "line 2: unexpected EOF",
		`{"user":"a"}`:                                  `line 1: json: unknown field "user"`,
		head + `{"usr":"a"}}`:                           `line 1: json: unknown field "usr"`,
		`{"apiVersion":"v1","kind":"Policy","spec":{}}`: "line 1: want apiVersion",
		head + `{}} {}`:                                 "line 1: one policy a line",
		strings.Repeat("x", 1<<20) + "y":                "token too long",
	} {
		if _, err := abac.Parse(strings.NewReader(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", line, err)
		}
	}
}
