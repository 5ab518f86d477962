package authz_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

const rbacSuffix = ".rbac.authorization.k8s.io"

func rbacStore() *storetest.Store {
	return storetest.New("clusterroles"+rbacSuffix, "clusterrolebindings"+rbacSuffix, "roles"+rbacSuffix, "rolebindings"+rbacSuffix,
		"pods", "nodes", "persistentvolumes", "persistentvolumeclaims")
}

// TestRBAC runs the scenarios of testdata/rbac:
//
//	objects       YAML documents of roles and bindings to store
//	can user=u [groups=(a,b)] [ns=n]
//	  one question a line: "get pods", "get apps/deployments/scale web", "get /healthz"
func TestRBAC(t *testing.T) {
	datadriven.Walk(t, "testdata/rbac", func(t *testing.T, path string) {
		s := rbacStore()
		a := authz.NewRBAC(s, slog.New(slog.DiscardHandler))
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "objects":
				return putObjects(t, s, d.Input)
			case "bootstrap":
				if err := bootstrap.Ensure(t.Context(), s, time.Unix(0, 0)); err != nil {
					t.Fatal(err)
				}
				return ""
			case "can":
				return ask(t, a, d)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func putObjects(t *testing.T, s *storetest.Store, input string) string {
	t.Helper()
	for doc := range strings.SplitSeq(input, "---\n") {
		var m metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		o := map[string]store.Object{
			"Role": &rbacv1.Role{}, "ClusterRole": &rbacv1.ClusterRole{},
			"RoleBinding": &rbacv1.RoleBinding{}, "ClusterRoleBinding": &rbacv1.ClusterRoleBinding{},
		}[m.Kind]
		if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		s.Put(strings.ToLower(m.Kind)+"s"+rbacSuffix, o)
	}
	return ""
}

func ask(t *testing.T, a request.Authorizer, d *datadriven.TestData) string {
	t.Helper()
	u := &request.User{}
	var ns string
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "user":
			u.Name = arg.Vals[0]
		case "groups":
			u.Groups = arg.Vals
		case "ns":
			ns = arg.Vals[0]
		}
	}
	var out strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(d.Input), "\n") {
		dec, reason, err := a.Authorize(context.Background(), u, parseQuestion(line, ns))
		fmt.Fprintf(&out, "%s: %s\n", line, answer(dec, reason, err))
	}
	return out.String()
}

func answer(d request.Decision, reason string, err error) string {
	word := map[request.Decision]string{request.Allow: "yes", request.Deny: "denied", request.NoOpinion: "no"}[d]
	if err != nil {
		word += " (" + err.Error() + ")"
	}
	if reason != "" {
		word += ", " + reason
	}
	return word
}

// parseQuestion: verb [group/]resource[/subresource] [name] [?selector], or verb /path.
func parseQuestion(line, ns string) *request.Info {
	f := strings.Fields(line)
	i := &request.Info{Verb: f[0], Namespace: ns}
	if strings.HasPrefix(f[1], "/") {
		i.Path = f[1]
		return i
	}
	i.IsResource = true
	parts := strings.Split(f[1], "/")
	if strings.Contains(parts[0], ".") || slices.Contains([]string{"apps", "batch"}, parts[0]) {
		i.Group, parts = parts[0], parts[1:]
	}
	i.Resource = parts[0]
	if len(parts) > 1 {
		i.Subresource = parts[1]
	}
	for _, w := range f[2:] {
		if sel, ok := strings.CutPrefix(w, "?"); ok {
			i.FieldSelector = sel
		} else {
			i.Name = w
		}
	}
	return i
}

// The watched index must give the answers that lists give.
func TestRunFollowsChanges(t *testing.T) {
	s := rbacStore()
	if err := bootstrap.Ensure(t.Context(), s, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	a := authz.NewRBAC(s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	q := &request.Info{IsResource: true, Verb: "get", Resource: "pods", Namespace: "a", Name: "p"}
	u := &request.User{Name: "jane"}
	until := func(want request.Decision) {
		t.Helper()
		for t.Context().Err() == nil {
			if d, _, err := a.Authorize(ctx, u, q); err != nil {
				t.Fatal(err)
			} else if d == want {
				return
			}
		}
		t.Fatalf("never became %v", want)
	}
	until(request.NoOpinion)
	b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "a"},
		RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "jane"}}}
	s.Put("rolebindings"+rbacSuffix, b)
	until(request.Allow)
	c, _ := s.Collection(rbacv1.GroupName, "rolebindings")
	if _, err := c.Delete(ctx, store.Key{Namespace: "a", Name: "b"}, nil); err != nil {
		t.Fatal(err)
	}
	until(request.NoOpinion)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRBAC(b *testing.B) {
	s := rbacStore()
	if err := bootstrap.Ensure(b.Context(), s, time.Unix(0, 0)); err != nil {
		b.Fatal(err)
	}
	for i := range 5000 {
		s.Put("rolebindings"+rbacSuffix, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: fmt.Sprint("ns", i)},
			RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: "edit"},
			Subjects:   []rbacv1.Subject{{Kind: "User", Name: fmt.Sprint("user", i%500)}},
		})
	}
	a := authz.NewRBAC(s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for !a.Ready() {
	}
	auth := []string{request.GroupAuthenticated}
	for name, c := range map[string]struct {
		u *request.User
		i *request.Info
	}{
		"masters":   {&request.User{Name: "x", Groups: []string{request.GroupMasters}}, parseQuestion("get pods p", "a")},
		"edit":      {&request.User{Name: "user7", Groups: auth}, parseQuestion("create apps/deployments p", "ns7")},
		"denied":    {&request.User{Name: "user7", Groups: auth}, parseQuestion("create apps/deployments p", "ns8")},
		"scheduler": {&request.User{Name: "system:kube-scheduler", Groups: auth}, parseQuestion("create pods/binding p", "a")},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Authorize(ctx, c.u, c.i)
			}
		})
	}
	cancel()
	<-done
}
