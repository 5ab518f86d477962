// Package rbacescalation keeps users from granting what they do not hold: a role
// may contain only rules, and a binding refer only to roles, that its author has
// already, unless the author may "escalate" or "bind".
package rbacescalation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Plugin guards writes of roles and bindings.
type Plugin struct {
	r    store.Reader
	rbac *authz.RBAC
	auth request.Authorizer
}

var _ admission.Validator = Plugin{}

// New makes the plugin. auth answers for the verbs escalate and bind.
func New(r store.Reader, rbac *authz.RBAC, auth request.Authorizer) Plugin {
	return Plugin{r, rbac, auth}
}

// Name in logs; it cannot be switched off.
func (Plugin) Name() string { return "RBACEscalation" }

// Handles written roles and bindings of users who are not masters.
func (Plugin) Handles(a *admission.Attributes) bool {
	if a.Info.Group != rbacv1.GroupName || a.Subresource != "" || a.User.In(request.GroupMasters) {
		return false
	}
	return a.Operation == admission.Create || a.Operation == admission.Update
}

// Validate compares what is granted with what the user holds.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	switch o := a.Object.(type) {
	case *rbacv1.Role:
		old, _ := a.Old.(*rbacv1.Role)
		if old != nil && equality.Semantic.DeepEqual(old.Rules, o.Rules) {
			return nil
		}
		return p.role(ctx, a, o.Namespace, o.Rules)
	case *rbacv1.ClusterRole:
		old, _ := a.Old.(*rbacv1.ClusterRole)
		if old != nil && equality.Semantic.DeepEqual(old.Rules, o.Rules) && equality.Semantic.DeepEqual(old.AggregationRule, o.AggregationRule) {
			return nil
		}
		rules := o.Rules
		if o.AggregationRule != nil { // may come to contain anything
			all := []string{"*"}
			rules = []rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}
		}
		return p.role(ctx, a, "", rules)
	case *rbacv1.RoleBinding:
		old, _ := a.Old.(*rbacv1.RoleBinding)
		if old != nil && equality.Semantic.DeepEqual(old.RoleRef, o.RoleRef) && equality.Semantic.DeepEqual(old.Subjects, o.Subjects) {
			return nil
		}
		return p.bind(ctx, a, o.Namespace, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		old, _ := a.Old.(*rbacv1.ClusterRoleBinding)
		if old != nil && equality.Semantic.DeepEqual(old.RoleRef, o.RoleRef) && equality.Semantic.DeepEqual(old.Subjects, o.Subjects) {
			return nil
		}
		return p.bind(ctx, a, "", o.RoleRef)
	}
	return nil
}

func (p Plugin) role(ctx context.Context, a *admission.Attributes, ns string, rules []rbacv1.PolicyRule) error {
	if p.may(ctx, a.User, "escalate", a.Info.Resource, ns, a.Name()) {
		return nil
	}
	return p.covered(ctx, a, ns, rules)
}

func (p Plugin) bind(ctx context.Context, a *admission.Attributes, ns string, ref rbacv1.RoleRef) error {
	resource, roleNS := "clusterroles", ""
	if ref.Kind == "Role" {
		resource, roleNS = "roles", ns
	}
	if p.may(ctx, a.User, "bind", resource, ns, ref.Name) {
		return nil
	}
	rules, found, err := p.rbac.RoleRules(ctx, roleNS, ref.Name)
	if err != nil {
		return err
	}
	if !found {
		return admission.Forbid(a, "%s.%s %q not found", resource, rbacv1.GroupName, ref.Name)
	}
	return p.covered(ctx, a, ns, rules)
}

func (p Plugin) may(ctx context.Context, u *request.User, verb, resource, ns, name string) bool {
	d, _, err := p.auth.Authorize(ctx, u, &request.Info{
		IsResource: true, Verb: verb, APIPrefix: "apis", Group: rbacv1.GroupName, Version: "v1", Resource: resource, Namespace: ns, Name: name,
	})
	return err == nil && d == request.Allow
}

func (p Plugin) covered(ctx context.Context, a *admission.Attributes, ns string, rules []rbacv1.PolicyRule) error {
	held, err := p.rbac.Policy(ctx, a.User, ns)
	missing, more, bad := authz.Missing(held, rules)
	switch {
	case bad != nil:
		return admission.Forbid(a, "%w", bad)
	case len(missing) == 0:
		return nil
	}
	var lines []string
	for _, r := range missing {
		lines = append(lines, compact(r))
	}
	text := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		a.User.Name, a.User.Groups, strings.Join(lines, "\n"))
	if more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	if err != nil {
		text += "; resolution errors: " + err.Error()
	}
	return admission.Forbid(a, "%w", errors.New(text))
}

// compact writes a rule on one line, empty parts left out.
func compact(r rbacv1.PolicyRule) string {
	var parts []string
	add := func(name string, list []string) {
		if len(list) > 0 {
			parts = append(parts, fmt.Sprintf("%s:[%s]", name, strings.Join(quoted(list), ",")))
		}
	}
	add("APIGroups", r.APIGroups)
	add("Resources", r.Resources)
	add("ResourceNames", r.ResourceNames)
	add("NonResourceURLs", r.NonResourceURLs)
	add("Verbs", r.Verbs)
	return "{" + strings.Join(parts, ", ") + "}"
}

func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return out
}
