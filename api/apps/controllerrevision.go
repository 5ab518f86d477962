package apps

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateControllerRevision checks a recorded state.
func ValidateControllerRevision(r *appsv1.ControllerRevision) field.ErrorList {
	errs := rules.NotNegative(r.Revision, field.NewPath("revision"))
	if r.Data.Raw == nil && r.Data.Object == nil {
		errs = append(errs, field.Required(field.NewPath("data"), "data is mandatory"))
	}
	return errs
}

// ValidateControllerRevisionUpdate also refuses to rewrite history.
func ValidateControllerRevisionUpdate(r, old *appsv1.ControllerRevision) field.ErrorList {
	return append(ValidateControllerRevision(r), rules.Same(r.Data, old.Data, field.NewPath("data"))...)
}

// ControllerRevisionColumns are what kubectl prints.
func ControllerRevisionColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Controller", "Controller of the object"),
		table.Integer("Revision", appsv1.ControllerRevision{}.SwaggerDoc()["revision"]),
		table.AgeColumn(),
	}
}

// ControllerRevisionRow fills ControllerRevisionColumns.
func ControllerRevisionRow(r *appsv1.ControllerRevision, now time.Time) []any {
	owner := table.None
	if c := metav1.GetControllerOf(r); c != nil {
		owner = strings.ToLower(c.Kind)
		if gv, err := schema.ParseGroupVersion(c.APIVersion); err == nil && gv.Group != "" {
			owner += "." + gv.Group
		}
		owner += "/" + c.Name
	}
	return []any{r.Name, owner, r.Revision, table.Age(r.CreationTimestamp, now)}
}
