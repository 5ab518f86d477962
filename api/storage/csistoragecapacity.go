package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateCSIStorageCapacity checks a report.
func ValidateCSIStorageCapacity(c *storagev1.CSIStorageCapacity) field.ErrorList {
	errs := metavalidation.ValidateLabelSelector(c.NodeTopology, metavalidation.LabelSelectorValidationOptions{}, field.NewPath("nodeTopology"))
	errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(c.StorageClassName), c.StorageClassName, field.NewPath("storageClassName"))...)
	if c.Capacity != nil && c.Capacity.Sign() < 0 {
		errs = append(errs, field.Invalid(field.NewPath("capacity"), c.Capacity.String(), "must be greater than or equal to 0"))
	}
	if c.MaximumVolumeSize != nil && c.MaximumVolumeSize.Sign() < 0 {
		errs = append(errs, field.Invalid(field.NewPath("maximumVolumeSize"), c.MaximumVolumeSize.String(), "must be greater than or equal to 0"))
	}
	return errs
}

// ValidateCSIStorageCapacityUpdate also refuses to move the report elsewhere.
func ValidateCSIStorageCapacityUpdate(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
	errs := append(ValidateCSIStorageCapacity(c), rules.Same(c.NodeTopology, old.NodeTopology, field.NewPath("nodeTopology"))...)
	return append(errs, rules.Same(c.StorageClassName, old.StorageClassName, field.NewPath("storageClassName"))...)
}

// CSIStorageCapacityColumns are what kubectl prints.
func CSIStorageCapacityColumns() []metav1.TableColumnDefinition {
	doc := storagev1.CSIStorageCapacity{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("StorageClassName", doc["storageClassName"]), table.Text("Capacity", doc["capacity"]),
	}
}

// CSIStorageCapacityRow fills CSIStorageCapacityColumns.
func CSIStorageCapacityRow(c *storagev1.CSIStorageCapacity, _ time.Time) []any {
	capacity := table.Unset
	if c.Capacity != nil {
		capacity = c.Capacity.String()
	}
	return []any{c.Name, c.StorageClassName, capacity}
}
