package rbac

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// everything is what a role with an aggregation rule may come to hold.
func everything() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
		{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
	}
}

// grant is one attempt to hand out rules.
type grant struct {
	resource, name, namespace string // the object written
	rules                     []rbacv1.PolicyRule
}

func (g grant) forbidden(err error) error {
	return apierrors.NewForbidden(schema.GroupResource{Group: rbacv1.GroupName, Resource: g.resource}, g.name, err)
}

// mayAnything is true for those to whom no limit applies: the masters, and the
// server itself, which acts outside any request.
func mayAnything(ctx context.Context) bool {
	return request.InfoFrom(ctx) == nil || request.UserFrom(ctx).In(request.GroupMasters)
}

// holdsVerb asks whether the user may verb the named role.
func holdsVerb(ctx context.Context, env kind.Env, verb, resource, namespace, name string) (bool, error) {
	d, _, err := env.Authorizer().Authorize(ctx, request.UserFrom(ctx), &request.Info{
		IsResource: true, Verb: verb, APIPrefix: "apis", Group: rbacv1.GroupName, Version: "v1",
		Resource: resource, Namespace: namespace, Name: name,
	})
	return d == request.Allow, err
}

// confirm refuses a grant of rules that the user does not hold in the namespace.
func confirm(ctx context.Context, env kind.Env, g grant) error {
	lister, ok := env.Authorizer().(request.RuleLister)
	if !ok {
		return g.forbidden(errors.New("the server's authorizer cannot tell which permissions are held"))
	}
	u := request.UserFrom(ctx)
	resources, others, _, listErr := lister.Rules(ctx, u, g.namespace)
	held := make([]rbacv1.PolicyRule, 0, len(resources)+len(others))
	for _, r := range resources {
		held = append(held, rbacv1.PolicyRule{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames})
	}
	for _, r := range others {
		held = append(held, rbacv1.PolicyRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
	}
	missing, more, err := authz.Missing(held, g.rules)
	switch {
	case err != nil:
		return g.forbidden(err)
	case len(missing) == 0:
		return nil
	}
	text := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s", u.Name, u.Groups, describe(missing))
	if more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	if listErr != nil {
		text += fmt.Sprintf("; resolution errors: %v", listErr)
	}
	return g.forbidden(errors.New(text))
}

// describe renders missing rules, those that differ only in verbs as one.
func describe(missing []rbacv1.PolicyRule) string {
	verbs := map[string][]string{}
	for _, r := range missing {
		for _, target := range ruleTargets(r) {
			verbs[target] = append(verbs[target], r.Verbs...)
		}
	}
	lines := make([]string, 0, len(verbs))
	for target, v := range verbs {
		sort.Strings(v)
		lines = append(lines, fmt.Sprintf("{%s, Verbs:%q}", target, v))
	}
	sort.Strings(lines)
	return strings.ReplaceAll(strings.Join(lines, "\n"), `" "`, `", "`)
}

func ruleTargets(r rbacv1.PolicyRule) []string {
	if len(r.NonResourceURLs) > 0 {
		return []string{fmt.Sprintf("NonResourceURLs:%q", r.NonResourceURLs)}
	}
	text := fmt.Sprintf("APIGroups:%q, Resources:%q", r.APIGroups, r.Resources)
	if len(r.ResourceNames) > 0 {
		text += fmt.Sprintf(", ResourceNames:%q", r.ResourceNames)
	}
	return []string{text}
}

// checkRole guards the writing of a Role or ClusterRole.
func checkRole(ctx context.Context, env kind.Env, resource string, o metav1.Object, rules []rbacv1.PolicyRule, aggregates bool) error {
	if mayAnything(ctx) {
		return nil
	}
	if ok, err := holdsVerb(ctx, env, "escalate", resource, o.GetNamespace(), o.GetName()); err != nil || ok {
		return err
	}
	if aggregates {
		rules = append(everything(), rules...)
	}
	return confirm(ctx, env, grant{resource: resource, name: o.GetName(), namespace: o.GetNamespace(), rules: rules})
}

// checkBinding guards the writing of a RoleBinding or ClusterRoleBinding.
func checkBinding(ctx context.Context, env kind.Env, resource string, o metav1.Object, ref rbacv1.RoleRef) error {
	if mayAnything(ctx) {
		return nil
	}
	roles := "clusterroles"
	if ref.Kind == "Role" {
		roles = "roles"
	}
	if ok, err := holdsVerb(ctx, env, "bind", roles, o.GetNamespace(), ref.Name); err != nil || ok {
		return err
	}
	rules, err := rulesOf(ctx, env, roles, o.GetNamespace(), ref.Name)
	if err != nil {
		return err
	}
	return confirm(ctx, env, grant{resource: resource, name: o.GetName(), namespace: o.GetNamespace(), rules: rules})
}

// rulesOf reads the rules of the role a binding points at.
func rulesOf(ctx context.Context, env kind.Env, roles, namespace, name string) ([]rbacv1.PolicyRule, error) {
	c, ok := env.Collection(rbacv1.GroupName, roles)
	if !ok {
		return nil, fmt.Errorf("reading %s: not served here", roles)
	}
	key := store.Key{Namespace: namespace, Name: name}
	if roles == "clusterroles" {
		key.Namespace = ""
	}
	e, err := c.Get(ctx, key, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: rbacv1.GroupName, Resource: roles}, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", roles, name, err)
	}
	switch r := e.Object.(type) {
	case *rbacv1.ClusterRole:
		return r.Rules, nil
	case *rbacv1.Role:
		return r.Rules, nil
	}
	return nil, fmt.Errorf("reading %s %s: it is a %T", roles, name, e.Object)
}

// onlyHousekeeping says whether an update changes nothing but what the garbage
// collector may change. Labels are not among it: they feed aggregation.
func onlyHousekeeping(o, old store.Object) bool {
	a, b := o.DeepCopyObject().(store.Object), old
	a.SetOwnerReferences(b.GetOwnerReferences())
	a.SetFinalizers(b.GetFinalizers())
	a.SetManagedFields(b.GetManagedFields())
	a.SetResourceVersion(b.GetResourceVersion())
	return apiequality.Semantic.DeepEqual(a, b)
}

// guard builds the hooks of a kind from its check.
func guard[T store.Object](check func(ctx context.Context, env kind.Env, obj T) error) kind.Hooks[T] {
	done := func(bool) {}
	return kind.Hooks[T]{
		BeforeCreate: func(ctx context.Context, env kind.Env, obj T, _ bool) (func(bool), error) {
			return done, check(ctx, env, obj)
		},
		BeforeUpdate: func(ctx context.Context, env kind.Env, obj, old T, _ bool) (func(bool), error) {
			if onlyHousekeeping(obj, old) {
				return done, nil
			}
			return done, check(ctx, env, obj)
		},
	}
}
