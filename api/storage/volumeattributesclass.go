package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateVolumeAttributesClass checks a class.
func ValidateVolumeAttributesClass(c *storagev1.VolumeAttributesClass) field.ErrorList {
	return append(validateDriver(c.DriverName, field.NewPath("driverName")), validateParameters(c.Parameters, true, field.NewPath("parameters"))...)
}

// ValidateVolumeAttributesClassUpdate refuses any change of the class.
func ValidateVolumeAttributesClassUpdate(c, old *storagev1.VolumeAttributesClass) field.ErrorList {
	errs := rules.Same(c.DriverName, old.DriverName, field.NewPath("driverName"))
	return append(errs, rules.Same(c.Parameters, old.Parameters, field.NewPath("parameters"))...)
}

// VolumeAttributesClassColumns are what kubectl prints.
func VolumeAttributesClassColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("DriverName", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"]), table.AgeColumn(),
	}
}

// VolumeAttributesClassRow fills VolumeAttributesClassColumns.
func VolumeAttributesClassRow(c *storagev1.VolumeAttributesClass, now time.Time) []any {
	name := c.Name
	if c.Annotations["volumeattributesclass.beta.kubernetes.io/is-default-class"] == "true" {
		name += " (default)"
	}
	return []any{name, c.DriverName, table.Age(c.CreationTimestamp, now)}
}
