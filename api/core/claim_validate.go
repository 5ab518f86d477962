package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePersistentVolumeClaim judges a new claim.
func ValidatePersistentVolumeClaim(c *corev1.PersistentVolumeClaim) field.ErrorList {
	return ValidateClaimSpec(&c.Spec, field.NewPath("spec"))
}

// ValidateClaimSpec judges a claim's spec, also inside templates.
func ValidateClaimSpec(s *corev1.PersistentVolumeClaimSpec, path *field.Path) (errs field.ErrorList) {
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(path.Child("accessModes"), "at least 1 access mode is required"))
	}
	errs = append(errs, validateAccessModes(s.AccessModes, path.Child("accessModes"))...)
	errs = append(errs, ValidateLabelSelector(s.Selector, path.Child("selector"))...)
	requests := path.Child("resources", "requests")
	if q, ok := s.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(path.Child("resources").Key(string(corev1.ResourceStorage)), ""))
	} else if q.Sign() <= 0 {
		errs = append(errs, field.Invalid(requests.Key(string(corev1.ResourceStorage)), q.String(), "must be greater than zero"))
	}
	if n := s.StorageClassName; n != nil && *n != "" {
		errs = checkSubdomain(errs, *n, path.Child("storageClassName"))
	}
	if n := s.VolumeAttributesClassName; n != nil && *n != "" {
		errs = checkSubdomain(errs, *n, path.Child("volumeAttributesClassName"))
	}
	if s.VolumeMode != nil {
		errs = oneOf(errs, *s.VolumeMode, path.Child("volumeMode"), corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
	}
	if d := s.DataSource; d != nil {
		errs = requireText(errs, d.Name, path.Child("dataSource", "name"))
		errs = requireText(errs, d.Kind, path.Child("dataSource", "kind"))
		if d.APIGroup == nil && d.Kind != "PersistentVolumeClaim" {
			errs = append(errs, field.Invalid(path.Child("dataSource"), d.Kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
		}
	}
	if d := s.DataSourceRef; d != nil {
		errs = requireText(errs, d.Name, path.Child("dataSourceRef", "name"))
		errs = requireText(errs, d.Kind, path.Child("dataSourceRef", "kind"))
		if d.APIGroup == nil && d.Kind != "PersistentVolumeClaim" {
			errs = append(errs, field.Invalid(path.Child("dataSourceRef"), d.Kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
		}
		if s.DataSource != nil && (d.Name != s.DataSource.Name || d.Kind != s.DataSource.Kind) {
			errs = append(errs, field.Invalid(path, path.Child("dataSource").String(), "must match dataSourceRef"))
		}
	}
	return errs
}

func validateAccessModes(modes []corev1.PersistentVolumeAccessMode, path *field.Path) (errs field.ErrorList) {
	alone, other := false, false
	for _, m := range modes {
		switch m {
		case corev1.ReadWriteOncePod:
			alone = true
		case corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany:
			other = true
		default:
			errs = oneOf(errs, m, path, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)
		}
	}
	if alone && other {
		errs = append(errs, field.Forbidden(path, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

// ValidatePersistentVolumeClaimUpdate judges a change: a bound claim may only
// grow, an unbound one may also be given a volume or a class.
func ValidatePersistentVolumeClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := ValidatePersistentVolumeClaim(c)
	path := field.NewPath("spec")
	is, was := c.Spec.DeepCopy(), &old.Spec
	if was.VolumeName == "" {
		is.VolumeName = ""
	}
	if size, ok := c.Spec.Resources.Requests[corev1.ResourceStorage]; ok && old.Status.Phase == corev1.ClaimBound {
		before := was.Resources.Requests[corev1.ResourceStorage]
		if size.Cmp(before) < 0 {
			if have := old.Status.Capacity[corev1.ResourceStorage]; size.Cmp(have) <= 0 {
				errs = append(errs, field.Forbidden(path.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
			}
		}
		is.Resources.Requests = was.Resources.Requests
	}
	if was.StorageClassName == nil || *was.StorageClassName == "" {
		is.StorageClassName = was.StorageClassName
	}
	if c.Spec.VolumeAttributesClassName != nil {
		is.VolumeAttributesClassName = was.VolumeAttributesClassName
	}
	if !equality.Semantic.DeepEqual(is, was) {
		errs = append(errs, field.Forbidden(path, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"))
	}
	return errs
}

// ValidatePersistentVolumeClaimStatusUpdate judges what a binder reports.
func ValidatePersistentVolumeClaimStatusUpdate(c, _ *corev1.PersistentVolumeClaim) (errs field.ErrorList) {
	path := field.NewPath("status", "capacity")
	for name, q := range c.Status.Capacity {
		errs = checkQuantity(errs, name, q, path.Key(string(name)))
	}
	return errs
}
