// Package flowcontrol is the behaviour of the kinds of
// flowcontrol.apiserver.k8s.io/v1: defaults, validation and columns. Pure
// functions on the published types.
package flowcontrol

import (
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

const maxPrecedence = 10000

// DefaultFlowSchema fills in the documented defaults.
func DefaultFlowSchema(f *flowcontrolv1.FlowSchema) {
	if f.Spec.MatchingPrecedence == 0 {
		f.Spec.MatchingPrecedence = 1000
	}
}

// ValidateFlowSchema checks a schema.
func ValidateFlowSchema(f *flowcontrolv1.FlowSchema) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if p := f.Spec.MatchingPrecedence; p <= 0 || p > maxPrecedence {
		errs = append(errs, rules.Between(p, 1, maxPrecedence, spec.Child("matchingPrecedence"))...)
	}
	if p := f.Spec.MatchingPrecedence; p == 1 && f.Name != "exempt" {
		errs = append(errs, field.Invalid(spec.Child("matchingPrecedence"), p, "only the schema named 'exempt' may have matchingPrecedence 1"))
	}
	if d := f.Spec.DistinguisherMethod; d != nil {
		errs = append(errs, rules.OneOf(d.Type, spec.Child("distinguisherMethod", "type"),
			flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType)...)
	}
	if f.Spec.PriorityLevelConfiguration.Name == "" {
		errs = append(errs, field.Required(spec.Child("priorityLevelConfiguration", "name"), "must reference a priority level"))
	}
	for i := range f.Spec.Rules {
		errs = append(errs, validateFlowRule(&f.Spec.Rules[i], spec.Child("rules").Index(i))...)
	}
	return errs
}

func validateFlowRule(r *flowcontrolv1.PolicyRulesWithSubjects, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(path.Child("subjects"), "subjects must contain at least one value"))
	}
	for i, s := range r.Subjects {
		at := path.Child("subjects").Index(i)
		errs = append(errs, rules.OneOf(s.Kind, at.Child("kind"), flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser)...)
		switch {
		case s.Kind == flowcontrolv1.SubjectKindUser && s.User == nil:
			errs = append(errs, field.Required(at.Child("user"), "user is required when subject kind is 'User'"))
		case s.Kind == flowcontrolv1.SubjectKindGroup && s.Group == nil:
			errs = append(errs, field.Required(at.Child("group"), "group is required when subject kind is 'Group'"))
		case s.Kind == flowcontrolv1.SubjectKindServiceAccount && s.ServiceAccount == nil:
			errs = append(errs, field.Required(at.Child("serviceAccount"), "serviceAccount is required when subject kind is 'ServiceAccount'"))
		}
	}
	if len(r.ResourceRules)+len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i, x := range r.ResourceRules {
		at := path.Child("resourceRules").Index(i)
		for name, list := range map[string][]string{"verbs": x.Verbs, "apiGroups": x.APIGroups, "resources": x.Resources} {
			if len(list) == 0 {
				errs = append(errs, field.Required(at.Child(name), name+" must contain at least one value"))
			}
		}
		if len(x.Namespaces) == 0 && !x.ClusterScope {
			errs = append(errs, field.Required(at.Child("namespaces"), "resource rules that are not cluster scoped must supply at least one namespace"))
		}
	}
	for i, x := range r.NonResourceRules {
		at := path.Child("nonResourceRules").Index(i)
		if len(x.Verbs) == 0 {
			errs = append(errs, field.Required(at.Child("verbs"), "verbs must contain at least one value"))
		}
		if len(x.NonResourceURLs) == 0 {
			errs = append(errs, field.Required(at.Child("nonResourceURLs"), "nonResourceURLs must contain at least one value"))
		}
	}
	return errs
}

// FlowSchemaColumns are what kubectl prints.
func FlowSchemaColumns() []metav1.TableColumnDefinition {
	doc := flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("PriorityLevel", doc["priorityLevelConfiguration"]),
		table.Integer("MatchingPrecedence", doc["matchingPrecedence"]),
		table.Text("DistinguisherMethod", doc["distinguisherMethod"]),
		table.AgeColumn(),
		table.Text("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
	}
}

// FlowSchemaRow fills FlowSchemaColumns.
func FlowSchemaRow(f *flowcontrolv1.FlowSchema, now time.Time) []any {
	method, missing := table.None, "?"
	if d := f.Spec.DistinguisherMethod; d != nil {
		method = string(d.Type)
	}
	for _, c := range f.Status.Conditions {
		if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
			missing = string(c.Status)
		}
	}
	return []any{f.Name, f.Spec.PriorityLevelConfiguration.Name, int64(f.Spec.MatchingPrecedence), method, table.Age(f.CreationTimestamp, now), missing}
}
