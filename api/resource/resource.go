// Package resource is the behaviour of the kinds of resource.k8s.io/v1 (dynamic
// resource allocation): defaults, validation and columns. Pure functions on the
// published types.
package resource

import (
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateResourceClaimUpdate refuses to change what is claimed.
func ValidateResourceClaimUpdate(c, old *resourcev1.ResourceClaim) field.ErrorList {
	return rules.Same(c.Spec, old.Spec, field.NewPath("spec"))
}

// ValidateResourceClaimTemplateUpdate refuses to change what will be claimed.
func ValidateResourceClaimTemplateUpdate(c, old *resourcev1.ResourceClaimTemplate) field.ErrorList {
	return rules.Same(c.Spec, old.Spec, field.NewPath("spec"))
}

// ValidateResourceSliceUpdate refuses to move a slice.
func ValidateResourceSliceUpdate(s, old *resourcev1.ResourceSlice) field.ErrorList {
	spec := field.NewPath("spec")
	errs := rules.Same(s.Spec.Driver, old.Spec.Driver, spec.Child("driver"))
	errs = append(errs, rules.Same(s.Spec.NodeName, old.Spec.NodeName, spec.Child("nodeName"))...)
	errs = append(errs, ValidateResourceSlice(s)...)
	return append(errs, rules.Same(s.Spec.Pool.Name, old.Spec.Pool.Name, spec.Child("pool", "name"))...)
}

// ResourceClaimColumns are what kubectl prints.
func ResourceClaimColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("State", "A summary of the current state (allocated, pending, reserved, etc.)."), table.AgeColumn()}
}

// ResourceClaimRow fills ResourceClaimColumns.
func ResourceClaimRow(c *resourcev1.ResourceClaim, now time.Time) []any {
	state := "pending"
	if c.Status.Allocation != nil {
		state = "allocated"
	}
	if len(c.Status.ReservedFor) > 0 {
		state += ",reserved"
	}
	if c.DeletionTimestamp != nil {
		state = "deleted," + state
	}
	return []any{c.Name, state, table.Age(c.CreationTimestamp, now)}
}

// PlainColumns are what kubectl prints for the other kinds.
func PlainColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.AgeColumn()}
}

// PlainRow fills PlainColumns.
func PlainRow(o metav1.Object, now time.Time) []any {
	return []any{o.GetName(), table.Age(o.GetCreationTimestamp(), now)}
}

// ResourceSliceColumns are what kubectl prints.
func ResourceSliceColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("Node", "Node name of the slice."), table.Text("Driver", "Driver of the slice."),
		table.Text("Pool", "Pool of the slice."), table.AgeColumn(),
	}
}

// ResourceSliceRow fills ResourceSliceColumns.
func ResourceSliceRow(s *resourcev1.ResourceSlice, now time.Time) []any {
	node := ""
	if s.Spec.NodeName != nil {
		node = *s.Spec.NodeName
	}
	return []any{s.Name, node, s.Spec.Driver, s.Spec.Pool.Name, table.Age(s.CreationTimestamp, now)}
}
