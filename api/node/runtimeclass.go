// Package node is the behaviour of node.k8s.io/v1 RuntimeClass: validation and
// columns, pure functions on the published type.
package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/core"
	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultRuntimeClass fills in the documented defaults.
func DefaultRuntimeClass(c *nodev1.RuntimeClass) {
	if c.Scheduling == nil {
		return
	}
	for i := range c.Scheduling.Tolerations {
		if c.Scheduling.Tolerations[i].Operator == "" {
			c.Scheduling.Tolerations[i].Operator = corev1.TolerationOpEqual
		}
	}
}

// ValidateRuntimeClass checks a class.
func ValidateRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	errs := validateHandler(c.Handler, field.NewPath("handler"))
	if c.Overhead != nil {
		for name, q := range c.Overhead.PodFixed {
			if q.Sign() < 0 {
				errs = append(errs, field.Invalid(field.NewPath("overhead", "podFixed").Key(string(name)), q.String(), "must be greater than or equal to 0"))
			}
		}
	}
	if c.Scheduling != nil {
		errs = append(errs, metavalidation.ValidateLabels(c.Scheduling.NodeSelector, field.NewPath("scheduling", "nodeSelector"))...)
		errs = append(errs, validateTolerations(c.Scheduling.Tolerations, field.NewPath("scheduling", "tolerations"))...)
	}
	return errs
}

func validateHandler(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return rules.Messages(validation.IsDNS1123Label(name), name, path)
}

// validateTolerations: each as in a pod, and none twice, as they are added to those of the pods.
func validateTolerations(list []corev1.Toleration, path *field.Path) field.ErrorList {
	errs := core.ValidateTolerations(list, path)
	seen := rules.Seen[string]{}
	for i := range list {
		if seen.Again(list[i].String()) {
			errs = append(errs, field.Duplicate(path.Index(i), list[i]))
		}
	}
	return errs
}

// ValidateRuntimeClassUpdate refuses to change the handler.
func ValidateRuntimeClassUpdate(c, old *nodev1.RuntimeClass) field.ErrorList {
	return append(ValidateRuntimeClass(c), rules.Same(c.Handler, old.Handler, field.NewPath("handler"))...)
}

// RuntimeClassColumns are what kubectl prints.
func RuntimeClassColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Handler", nodev1.RuntimeClass{}.SwaggerDoc()["handler"]),
		table.AgeColumn(),
	}
}

// RuntimeClassRow fills RuntimeClassColumns.
func RuntimeClassRow(c *nodev1.RuntimeClass, now time.Time) []any {
	return []any{c.Name, c.Handler, table.Age(c.CreationTimestamp, now)}
}
