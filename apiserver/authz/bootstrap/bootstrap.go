// Package bootstrap holds the standard roles and bindings that every cluster
// has, and writes those that are missing.
//
//	policy.go, user.go, controllers.go ── tables ──▶ objects ──▶ Ensure ──▶ store
//
// Contract:
//   - Objects carry the label kubernetes.io/bootstrapping=rbac-defaults and the
//     annotation rbac.authorization.kubernetes.io/autoupdate=true. While the
//     annotation is not "false", Ensure adds missing rules, labels and subjects at
//     every start; it never takes anything away. A binding whose roleRef was
//     changed is left as its owner wants it.
//   - Ensure is safe to run from several servers at once.
package bootstrap

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/request"
)

// Marks of what this package owns.
const (
	LabelKey   = "kubernetes.io/bootstrapping"
	LabelValue = "rbac-defaults"
)

// Policy is everything there is by default.
type Policy struct {
	ClusterRoles        []*rbacv1.ClusterRole
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding
	Roles               []*rbacv1.Role
	RoleBindings        []*rbacv1.RoleBinding
}

// Default policy, made anew for every caller.
func Default() *Policy {
	p := &Policy{}
	p.addBasics()
	p.addUserRoles()
	p.addComponents()
	p.addCertificates()
	p.addNamespaced()
	p.addControllers()
	return p
}

func meta(name, namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: namespace,
		Labels:      map[string]string{LabelKey: LabelValue},
		Annotations: map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"},
	}
}

// rule and url read their lists from words: rule("get list watch", "apps", "deployments replicasets").
func rule(verbs, groups, resources string) rbacv1.PolicyRule {
	g := []string{groups}
	if strings.Contains(groups, " ") {
		g = strings.Fields(groups)
		for i := range g {
			if g[i] == "core" {
				g[i] = ""
			}
		}
	}
	return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), APIGroups: g, Resources: strings.Fields(resources)}
}

func named(r rbacv1.PolicyRule, names ...string) rbacv1.PolicyRule {
	r.ResourceNames = names
	return r
}

func url(verbs string, paths ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Fields(verbs), NonResourceURLs: paths}
}

// events is what everybody who reports needs.
func events() rbacv1.PolicyRule { return rule("create patch update", "core events.k8s.io", "events") }

func user(names ...string) []rbacv1.Subject {
	var out []rbacv1.Subject
	for _, n := range names {
		out = append(out, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: n})
	}
	return out
}

func group(names ...string) []rbacv1.Subject {
	var out []rbacv1.Subject
	for _, n := range names {
		out = append(out, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: n})
	}
	return out
}

func account(namespace, name string) []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}}
}

func (p *Policy) clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	for i := range rules {
		slices.Sort(rules[i].Verbs)
		slices.Sort(rules[i].APIGroups)
		slices.Sort(rules[i].Resources)
	}
	r := &rbacv1.ClusterRole{ObjectMeta: meta(name, ""), Rules: rules}
	p.ClusterRoles = append(p.ClusterRoles, r)
	return r
}

func (p *Policy) clusterBinding(name, role string, subjects ...rbacv1.Subject) {
	p.ClusterRoleBindings = append(p.ClusterRoleBindings, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta(name, ""), Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	})
}

func (p *Policy) role(namespace, name string, rules ...rbacv1.PolicyRule) {
	p.Roles = append(p.Roles, &rbacv1.Role{ObjectMeta: meta(name, namespace), Rules: rules})
}

func (p *Policy) binding(namespace, name, role string, subjects ...rbacv1.Subject) {
	p.RoleBindings = append(p.RoleBindings, &rbacv1.RoleBinding{
		ObjectMeta: meta(name, namespace), Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
	})
}

// addBasics: what everybody, the administrator and monitoring may do.
func (p *Policy) addBasics() {
	p.clusterRole("cluster-admin", rule("*", "*", "*"), url("*", "*"))
	p.clusterBinding("cluster-admin", "cluster-admin", group(request.GroupMasters)...)

	p.clusterRole("system:discovery", url("get", "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez",
		"/openapi", "/openapi/*", "/readyz", "/version", "/version/"))
	p.clusterBinding("system:discovery", "system:discovery", group(request.GroupAuthenticated)...)

	p.clusterRole("system:basic-user",
		rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
		rule("create", "authentication.k8s.io", "selfsubjectreviews"))
	p.clusterBinding("system:basic-user", "system:basic-user", group(request.GroupAuthenticated)...)

	p.clusterRole("system:public-info-viewer", url("get", "/healthz", "/livez", "/readyz", "/version", "/version/"))
	p.clusterBinding("system:public-info-viewer", "system:public-info-viewer", group(request.GroupAuthenticated, request.GroupUnauthenticated)...)

	p.clusterRole("system:monitoring", url("get", "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics",
		"/metrics/slis", "/readyz", "/readyz/*", "/statusz", "/flagz"))
	p.clusterBinding("system:monitoring", "system:monitoring", group("system:monitoring")...)

	p.clusterRole("system:service-account-issuer-discovery", url("get", "/.well-known/openid-configuration",
		"/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"))
	p.clusterBinding("system:service-account-issuer-discovery", "system:service-account-issuer-discovery", group(request.GroupServiceAccounts)...)

	p.clusterRole("system:cluster-trust-bundle-discovery", rule("get list watch", "certificates.k8s.io", "clustertrustbundles"))
	p.clusterBinding("system:cluster-trust-bundle-discovery", "system:cluster-trust-bundle-discovery", group(request.GroupServiceAccounts)...)
}
