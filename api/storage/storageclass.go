package storage

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultClassAnnotation marks the class of claims that name none.
const DefaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"

// DefaultStorageClass fills in the documented defaults.
func DefaultStorageClass(c *storagev1.StorageClass) {
	orDefault(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
	orDefault(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
}

// ValidateStorageClass checks a class.
func ValidateStorageClass(c *storagev1.StorageClass) field.ErrorList {
	var errs field.ErrorList
	if c.Provisioner == "" {
		errs = append(errs, field.Required(field.NewPath("provisioner"), ""))
	} else {
		errs = append(errs, rules.Messages(validation.IsQualifiedName(strings.ToLower(c.Provisioner)), c.Provisioner, field.NewPath("provisioner"))...)
	}
	errs = append(errs, validateParameters(c.Parameters, false, field.NewPath("parameters"))...)
	if c.ReclaimPolicy != nil {
		errs = append(errs, rules.OneOf(*c.ReclaimPolicy, field.NewPath("reclaimPolicy"), corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	}
	errs = append(errs, validateTopologies(c.AllowedTopologies, field.NewPath("allowedTopologies"))...)
	if c.VolumeBindingMode == nil {
		return append(errs, field.Required(field.NewPath("volumeBindingMode"), ""))
	}
	return append(errs, rules.OneOf(*c.VolumeBindingMode, field.NewPath("volumeBindingMode"), storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
}

// ValidateStorageClassUpdate refuses to change what volumes were made with.
func ValidateStorageClassUpdate(c, old *storagev1.StorageClass) field.ErrorList {
	errs := ValidateStorageClass(c)
	errs = append(errs, rules.Same(c.Parameters, old.Parameters, field.NewPath("parameters"))...)
	errs = append(errs, rules.Same(c.Provisioner, old.Provisioner, field.NewPath("provisioner"))...)
	errs = append(errs, rules.Same(c.ReclaimPolicy, old.ReclaimPolicy, field.NewPath("reclaimPolicy"))...)
	return append(errs, rules.Same(c.VolumeBindingMode, old.VolumeBindingMode, field.NewPath("volumeBindingMode"))...)
}

// StorageClassColumns are what kubectl prints.
func StorageClassColumns() []metav1.TableColumnDefinition {
	doc := storagev1.StorageClass{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Provisioner", doc["provisioner"]),
		table.Text("ReclaimPolicy", doc["reclaimPolicy"]),
		table.Text("VolumeBindingMode", doc["volumeBindingMode"]),
		table.Text("AllowVolumeExpansion", doc["allowVolumeExpansion"]),
		table.AgeColumn(),
	}
}

// StorageClassRow fills StorageClassColumns.
func StorageClassRow(c *storagev1.StorageClass, now time.Time) []any {
	name, reclaim, binding := c.Name, corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	if c.Annotations[DefaultClassAnnotation] == "true" {
		name += " (default)"
	}
	if c.ReclaimPolicy != nil {
		reclaim = *c.ReclaimPolicy
	}
	if c.VolumeBindingMode != nil {
		binding = *c.VolumeBindingMode
	}
	return []any{name, c.Provisioner, string(reclaim), string(binding), is(c.AllowVolumeExpansion), table.Age(c.CreationTimestamp, now)}
}

func is(b *bool) bool { return b != nil && *b }
