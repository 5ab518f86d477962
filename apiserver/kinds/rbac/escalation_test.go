package rbac

import (
	"context"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// env answers with fixed permissions and one stored cluster role.
type env struct {
	kind.Env
	verbs map[string]bool // "bind clusterroles/edit"
	held  []request.ResourceRule
	role  *rbacv1.ClusterRole
}

func (e env) Authorizer() request.Authorizer { return e }

func (e env) Authorize(_ context.Context, _ *request.User, i *request.Info) (request.Decision, string, error) {
	if e.verbs[i.Verb+" "+i.Resource+"/"+i.Name] {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "", nil
}

func (e env) Rules(context.Context, *request.User, string) ([]request.ResourceRule, []request.NonResourceRule, bool, error) {
	return e.held, nil, false, nil
}

func (e env) Collection(_, resource string) (store.Collection, bool) {
	return oneRole{role: e.role}, resource == "clusterroles"
}

type oneRole struct {
	store.Collection
	role *rbacv1.ClusterRole
}

func (c oneRole) Get(_ context.Context, k store.Key, _ store.Freshness) (*store.Entry, error) {
	if c.role == nil || c.role.Name != k.Name {
		return nil, store.ErrNotFound
	}
	return store.NewEntry(c.role, 1), nil
}

func as(groups ...string) context.Context {
	ctx := request.WithInfo(context.Background(), &request.Info{IsResource: true})
	return request.WithUser(ctx, &request.User{Name: "jane", Groups: groups})
}

func TestEscalation(t *testing.T) {
	readPods := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}
	readSecrets := rbacv1.PolicyRule{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"secrets"}}
	edit := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "edit"}, Rules: []rbacv1.PolicyRule{readSecrets}}
	held := []request.ResourceRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	roleOf := func(rules ...rbacv1.PolicyRule) store.Object {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "ns"}, Rules: rules}
	}
	binding := func(name string) store.Object {
		return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "ns"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: name}}
	}
	aggregate := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "a"}, AggregationRule: &rbacv1.AggregationRule{}}
	byKind := map[string]*kind.Kind{}
	for _, k := range Kinds() {
		byKind[k.Kind] = k
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		kind string
		obj  store.Object
		env  env
		want string // part of the refusal; "" is allowed
	}{
		"what is held":        {as(), "Role", roleOf(readPods), env{held: held}, ""},
		"more than is held":   {as(), "Role", roleOf(readPods, readSecrets), env{held: held}, `user "jane" (groups=[]) is attempting to grant RBAC permissions not currently held:`},
		"by the verb":         {as(), "Role", roleOf(readSecrets), env{verbs: map[string]bool{"escalate roles/r": true}}, ""},
		"masters":             {as(request.GroupMasters), "Role", roleOf(readSecrets), env{}, ""},
		"the server itself":   {context.Background(), "Role", roleOf(readSecrets), env{}, ""},
		"aggregation":         {as(), "ClusterRole", aggregate, env{held: held}, "not currently held"},
		"binding more":        {as(), "RoleBinding", binding("edit"), env{held: held, role: edit}, `{APIGroups:[""], Resources:["secrets"], Verbs:["get", "list"]}`},
		"binding by the verb": {as(), "RoleBinding", binding("edit"), env{role: edit, verbs: map[string]bool{"bind clusterroles/edit": true}}, ""},
		"binding nothing":     {as(), "RoleBinding", binding("none"), env{held: held}, `clusterroles.rbac.authorization.k8s.io "none" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := byKind[c.kind].BeforeCreate(c.ctx, c.env, c.obj, false)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("want %q, got %v", c.want, err)
			case err != nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
				t.Errorf("not a status: %v", err)
			}
		})
	}
	// A change of nothing but owners is not a grant; a change of labels may be one.
	old := roleOf(readSecrets)
	owned, labelled := old.DeepCopyObject().(store.Object), old.DeepCopyObject().(store.Object)
	owned.SetOwnerReferences([]metav1.OwnerReference{{Name: "x"}})
	labelled.SetLabels(map[string]string{"aggregate-to-admin": "true"})
	if _, err := byKind["Role"].BeforeUpdate(as(), env{}, owned, old, false); err != nil {
		t.Errorf("owners: %v", err)
	}
	if _, err := byKind["Role"].BeforeUpdate(as(), env{}, labelled, old, false); err == nil {
		t.Error("labels: allowed")
	}
}
