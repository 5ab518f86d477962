// Package flowcontrol is the behaviour of the kinds of
// flowcontrol.apiserver.k8s.io/v1: defaults, validation and columns. Pure
// functions on the published types.
package flowcontrol

import (
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

const (
	maxPrecedence = 10000
	exempt        = "exempt" // the one schema that goes before all, and the one level without limits
)

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
	if p := f.Spec.MatchingPrecedence; p == 1 && f.Name != exempt {
		errs = append(errs, field.Invalid(spec.Child("matchingPrecedence"), p, "only the schema named 'exempt' may have matchingPrecedence 1"))
	}
	if d := f.Spec.DistinguisherMethod; d != nil {
		errs = append(errs, rules.OneOf(d.Type, spec.Child("distinguisherMethod", "type"),
			flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType)...)
	}
	if f.Spec.PriorityLevelConfiguration.Name == "" {
		errs = append(errs, field.Required(spec.Child("priorityLevelConfiguration", "name"), "must reference a priority level"))
	} else {
		name := f.Spec.PriorityLevelConfiguration.Name
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(name), name, spec.Child("priorityLevelConfiguration", "name"))...)
	}
	for i := range f.Spec.Rules {
		errs = append(errs, validateFlowRule(&f.Spec.Rules[i], spec.Child("rules").Index(i))...)
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
