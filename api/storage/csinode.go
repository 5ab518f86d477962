package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateCSINode checks a node's drivers.
func ValidateCSINode(n *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	path, seen := field.NewPath("spec", "drivers"), map[string]bool{}
	for i, d := range n.Spec.Drivers {
		at := path.Index(i)
		errs = append(errs, validateDriver(d.Name, at.Child("name"))...)
		if seen[d.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), d.Name))
		}
		seen[d.Name] = true
		switch {
		case d.NodeID == "":
			errs = append(errs, field.Required(at.Child("nodeID"), d.NodeID))
		case len(d.NodeID) > maxNodeID:
			errs = append(errs, field.Invalid(at.Child("nodeID"), d.NodeID, "must be 256 characters or less"))
		}
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			errs = append(errs, rules.NotNegative(*d.Allocatable.Count, at.Child("allocatable", "count"))...)
		}
		keys := map[string]bool{}
		for _, k := range d.TopologyKeys {
			if keys[k] {
				errs = append(errs, field.Duplicate(at.Child("topologyKeys"), k))
			}
			keys[k] = true
			errs = append(errs, rules.Messages(validation.IsQualifiedName(k), k, at.Child("topologyKeys"))...)
		}
	}
	return errs
}

// ValidateCSINodeUpdate lets drivers come and go but not change, apart from their capacity.
func ValidateCSINodeUpdate(n, old *storagev1.CSINode) field.ErrorList {
	errs := ValidateCSINode(n)
	named := make(map[string]storagev1.CSINodeDriver, len(old.Spec.Drivers))
	for _, was := range old.Spec.Drivers {
		was.Allocatable = nil
		named[was.Name] = was
	}
	for _, d := range n.Spec.Drivers {
		is := d
		is.Allocatable = nil
		if was, ok := named[is.Name]; ok && !apiequality.Semantic.DeepEqual(was, is) {
			errs = append(errs, field.Invalid(field.NewPath("CSINode"), d, rules.Immutable))
		}
	}
	return errs
}

// CSINodeColumns are what kubectl prints.
func CSINodeColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Integer("Drivers", storagev1.CSINodeSpec{}.SwaggerDoc()["drivers"]), table.AgeColumn(),
	}
}

// CSINodeRow fills CSINodeColumns.
func CSINodeRow(n *storagev1.CSINode, now time.Time) []any {
	return []any{n.Name, int64(len(n.Spec.Drivers)), table.Age(n.CreationTimestamp, now)}
}
