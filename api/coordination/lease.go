// Package coordination is the behaviour of coordination.k8s.io/v1 Lease:
// validation and columns, pure functions on the published type.
package coordination

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateLease checks the spec. It is on the path of every heartbeat.
func ValidateLease(l *coordinationv1.Lease) field.ErrorList {
	spec, s := field.NewPath("spec"), &l.Spec
	var errs field.ErrorList
	if s.LeaseDurationSeconds != nil {
		errs = append(errs, rules.Positive(*s.LeaseDurationSeconds, spec.Child("leaseDurationSeconds"))...)
	}
	errs = append(errs, rules.MaybeNotNegative(s.LeaseTransitions, spec.Child("leaseTransitions"))...)
	if s.Strategy != nil {
		errs = append(errs, rules.Messages(validation.IsQualifiedName(string(*s.Strategy)), *s.Strategy, spec.Child("strategy"))...)
	}
	if s.PreferredHolder != nil {
		if *s.PreferredHolder == "" {
			errs = append(errs, field.Invalid(spec.Child("preferredHolder"), "", "must not be empty"))
		}
		if s.Strategy == nil || *s.Strategy == "" {
			errs = append(errs, field.Forbidden(spec.Child("preferredHolder"), "may only be specified if `strategy` is defined"))
		}
	}
	return errs
}

// LeaseColumns are what kubectl prints.
func LeaseColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"]),
		table.AgeColumn(),
	}
}

// LeaseRow fills LeaseColumns.
func LeaseRow(l *coordinationv1.Lease, now time.Time) []any {
	holder := ""
	if l.Spec.HolderIdentity != nil {
		holder = *l.Spec.HolderIdentity
	}
	return []any{l.Name, holder, table.Age(l.CreationTimestamp, now)}
}
