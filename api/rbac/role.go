// Package rbac is the behaviour of the kinds of rbac.authorization.k8s.io/v1:
// defaults, validation and columns of roles and bindings. Pure functions on the
// published types; who may grant what is decided in apiserver/kinds/rbac.
package rbac

import (
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// Name checks metadata.name of all four kinds: any single path segment.
func Name(name string, prefix bool) []string {
	if prefix {
		return pathvalidation.IsValidPathSegmentPrefix(name)
	}
	return pathvalidation.IsValidPathSegmentName(name)
}

// ValidateRole checks the rules of a Role.
func ValidateRole(r *rbacv1.Role) field.ErrorList { return validateRules(r.Rules, true) }

// ValidateClusterRole checks the rules and the selectors of what it aggregates.
func ValidateClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	errs := validateRules(r.Rules, false)
	if r.AggregationRule == nil {
		return errs
	}
	path := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(r.AggregationRule.ClusterRoleSelectors) == 0 {
		return append(errs, field.Required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		errs = append(errs, metavalidation.ValidateLabelSelector(&r.AggregationRule.ClusterRoleSelectors[i], metavalidation.LabelSelectorValidationOptions{}, path.Index(i))...)
	}
	return errs
}

func validateRules(list []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		errs = append(errs, validateRule(&list[i], namespaced, field.NewPath("rules").Index(i))...)
	}
	return errs
}

func validateRule(r *rbacv1.PolicyRule, namespaced bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Verbs) == 0 {
		errs = append(errs, field.Required(path.Child("verbs"), "verbs must contain at least one value"))
	}
	if len(r.NonResourceURLs) > 0 {
		if namespaced {
			errs = append(errs, field.Invalid(path.Child("nonResourceURLs"), r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
		}
		if len(r.APIGroups)+len(r.Resources)+len(r.ResourceNames) > 0 {
			errs = append(errs, field.Invalid(path.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
		}
		return errs
	}
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(path.Child("apiGroups"), "resource rules must supply at least one api group"))
	}
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(path.Child("resources"), "resource rules must supply at least one resource"))
	}
	return errs
}

// DefaultBinding fills in the groups of a binding's subjects and role.
func DefaultBinding(subjects []rbacv1.Subject, ref *rbacv1.RoleRef) {
	for i := range subjects {
		if subjects[i].APIGroup == "" && (subjects[i].Kind == rbacv1.UserKind || subjects[i].Kind == rbacv1.GroupKind) {
			subjects[i].APIGroup = rbacv1.GroupName
		}
	}
	if ref.APIGroup == "" {
		ref.APIGroup = rbacv1.GroupName
	}
}

// ValidateBinding checks a binding of either scope.
func ValidateBinding(subjects []rbacv1.Subject, ref *rbacv1.RoleRef, namespaced bool) field.ErrorList {
	path := field.NewPath("roleRef")
	var errs field.ErrorList
	if ref.APIGroup != rbacv1.GroupName {
		errs = append(errs, field.NotSupported(path.Child("apiGroup"), ref.APIGroup, []string{rbacv1.GroupName}))
	}
	kinds := []string{"ClusterRole"}
	if namespaced {
		kinds = []string{"Role", "ClusterRole"}
	}
	if ref.Kind != "ClusterRole" && (!namespaced || ref.Kind != "Role") {
		errs = append(errs, field.NotSupported(path.Child("kind"), ref.Kind, kinds))
	}
	if ref.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	} else {
		errs = append(errs, rules.Messages(pathvalidation.IsValidPathSegmentName(ref.Name), ref.Name, path.Child("name"))...)
	}
	for i := range subjects {
		errs = append(errs, validateSubject(&subjects[i], namespaced, field.NewPath("subjects").Index(i))...)
	}
	return errs
}

func validateSubject(s *rbacv1.Subject, namespaced bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	group := rbacv1.GroupName
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		group = ""
		if s.Name != "" {
			errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(s.Name), s.Name, path.Child("name"))...)
		}
		if s.Namespace == "" && !namespaced {
			errs = append(errs, field.Required(path.Child("namespace"), ""))
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
	default:
		return append(errs, field.NotSupported(path.Child("kind"), s.Kind, []string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
	if s.APIGroup != group {
		errs = append(errs, field.NotSupported(path.Child("apiGroup"), s.APIGroup, []string{group}))
	}
	return errs
}

// ValidateBindingUpdate refuses to point a binding at another role.
func ValidateBindingUpdate(ref, old *rbacv1.RoleRef) field.ErrorList {
	if *ref == *old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), *ref, "cannot change roleRef")}
}

// RoleColumns are what kubectl prints for Role and ClusterRole.
func RoleColumns() []metav1.TableColumnDefinition {
	created := metav1.TableColumnDefinition{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]}
	return []metav1.TableColumnDefinition{table.Name(), created}
}

// RoleRow fills RoleColumns.
func RoleRow(m metav1.Object) []any {
	return []any{m.GetName(), m.GetCreationTimestamp().UTC().Format(time.RFC3339)}
}

// BindingColumns are what kubectl prints for RoleBinding and ClusterRoleBinding.
func BindingColumns() []metav1.TableColumnDefinition {
	doc := rbacv1.RoleBinding{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Role", doc["roleRef"]),
		table.AgeColumn(),
		table.Wide(table.Text("Users", "Users in the roleBinding")),
		table.Wide(table.Text("Groups", "Groups in the roleBinding")),
		table.Wide(table.Text("ServiceAccounts", "ServiceAccounts in the roleBinding")),
	}
}

// BindingRow fills BindingColumns.
func BindingRow(m metav1.Object, ref rbacv1.RoleRef, subjects []rbacv1.Subject, now time.Time) []any {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		}
	}
	return []any{
		m.GetName(), ref.Kind + "/" + ref.Name, table.Age(m.GetCreationTimestamp(), now),
		strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", "),
	}
}
