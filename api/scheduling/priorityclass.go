// Package scheduling is the behaviour of scheduling.k8s.io/v1 PriorityClass:
// defaults, validation and columns, pure functions on the published type.
package scheduling

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

const (
	// HighestUserPriority is the largest value users may give.
	HighestUserPriority = 1_000_000_000
	// SystemCriticalPriority is the value of system-cluster-critical; system-node-critical has 1000 more.
	SystemCriticalPriority = 2 * HighestUserPriority
	systemPrefix           = "system-"
)

// SystemClasses are the classes every cluster has.
func SystemClasses() []*schedulingv1.PriorityClass {
	never := corev1.PreemptLowerPriority
	class := func(name, text string, value int32) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, Description: text, PreemptionPolicy: &never}
	}
	return []*schedulingv1.PriorityClass{
		class("system-node-critical", "Used for system critical pods that must not be moved from their current node.", SystemCriticalPriority+1000),
		class("system-cluster-critical", "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.", SystemCriticalPriority),
	}
}

// DefaultPriorityClass fills in the documented defaults.
func DefaultPriorityClass(c *schedulingv1.PriorityClass) {
	if c.PreemptionPolicy == nil {
		p := corev1.PreemptLowerPriority
		c.PreemptionPolicy = &p
	}
}

// ValidatePriorityClass checks a class to be created.
func ValidatePriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if strings.HasPrefix(c.Name, systemPrefix) {
		if !isSystem(c) {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"), "priority class names with '"+systemPrefix+"' prefix are reserved for system use only. error: "+
				fmt.Sprintf("%s is not a known system priority class", c.Name)))
		}
	} else if c.Value > HighestUserPriority {
		errs = append(errs, field.Forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %d", HighestUserPriority)))
	}
	if c.PreemptionPolicy != nil {
		errs = append(errs, rules.OneOf(*c.PreemptionPolicy, field.NewPath("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	return errs
}

func isSystem(c *schedulingv1.PriorityClass) bool {
	for _, s := range SystemClasses() {
		if s.Name == c.Name && s.Value == c.Value && s.GlobalDefault == c.GlobalDefault {
			return true
		}
	}
	return false
}

// ValidatePriorityClassUpdate refuses to change what pods were admitted with.
func ValidatePriorityClassUpdate(c, old *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if c.Value != old.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return append(errs, rules.Same(c.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
}

// PriorityClassColumns are what kubectl prints.
func PriorityClassColumns() []metav1.TableColumnDefinition {
	doc := schedulingv1.PriorityClass{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Integer("Value", doc["value"]),
		table.Boolean("Global-Default", doc["globalDefault"]),
		table.AgeColumn(),
		table.Text("PreemptionPolicy", doc["preemptionPolicy"]),
	}
}

// PriorityClassRow fills PriorityClassColumns.
func PriorityClassRow(c *schedulingv1.PriorityClass, now time.Time) []any {
	policy := ""
	if c.PreemptionPolicy != nil {
		policy = string(*c.PreemptionPolicy)
	}
	return []any{c.Name, int64(c.Value), c.GlobalDefault, table.Age(c.CreationTimestamp, now), policy}
}
