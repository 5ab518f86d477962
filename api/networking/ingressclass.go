package networking

import (
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

const maxControllerName = 250

// DefaultIngressClass fills in the documented defaults.
func DefaultIngressClass(c *networkingv1.IngressClass) {
	if p := c.Spec.Parameters; p != nil && p.Scope == nil {
		scope := networkingv1.IngressClassParametersReferenceScopeCluster
		p.Scope = &scope
	}
}

// ValidateIngressClass checks a class.
func ValidateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if len(c.Spec.Controller) > maxControllerName {
		errs = append(errs, field.TooLong(spec.Child("controller"), "", maxControllerName))
	}
	errs = append(errs, validation.IsDomainPrefixedPath(spec.Child("controller"), c.Spec.Controller)...)
	p, at := c.Spec.Parameters, spec.Child("parameters")
	if p == nil {
		return errs
	}
	errs = append(errs, validateReference(p.APIGroup, p.Kind, p.Name, at)...)
	if p.Scope == nil {
		return append(errs, field.Required(at.Child("scope"), ""))
	}
	cluster, inside := networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace
	errs = append(errs, rules.OneOf(*p.Scope, at.Child("scope"), cluster, inside)...)
	switch {
	case *p.Scope == inside && (p.Namespace == nil || *p.Namespace == ""):
		errs = append(errs, field.Required(at.Child("namespace"), "`parameters.scope` is set to 'Namespace'"))
	case *p.Scope == inside:
		errs = append(errs, rules.Messages(validation.IsDNS1123Label(*p.Namespace), *p.Namespace, at.Child("namespace"))...)
	case *p.Scope == cluster && p.Namespace != nil:
		errs = append(errs, field.Forbidden(at.Child("namespace"), "`parameters.scope` is set to 'Cluster'"))
	}
	return errs
}

// ValidateIngressClassUpdate also refuses to change the controller.
func ValidateIngressClassUpdate(c, old *networkingv1.IngressClass) field.ErrorList {
	return append(ValidateIngressClass(c), rules.Same(c.Spec.Controller, old.Spec.Controller, field.NewPath("spec", "controller"))...)
}

// IngressClassColumns are what kubectl prints.
func IngressClassColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Controller", "Controller that is responsible for handling this class"),
		table.Text("Parameters", "A reference to a resource with additional parameters"),
		table.AgeColumn(),
	}
}

// IngressClassRow fills IngressClassColumns.
func IngressClassRow(c *networkingv1.IngressClass, now time.Time) []any {
	params := table.None
	if p := c.Spec.Parameters; p != nil {
		params = strings.ToLower(p.Kind)
		if p.APIGroup != nil {
			params += "." + *p.APIGroup
		}
		params += "/" + p.Name
	}
	return []any{c.Name, c.Spec.Controller, params, table.Age(c.CreationTimestamp, now)}
}
