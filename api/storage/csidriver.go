package storage

import (
	"strings"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultCSIDriver fills in the documented defaults.
func DefaultCSIDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	orDefault(&s.AttachRequired, true)
	orDefault(&s.PodInfoOnMount, false)
	orDefault(&s.StorageCapacity, false)
	orDefault(&s.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	orDefault(&s.RequiresRepublish, false)
	orDefault(&s.SELinuxMount, false)
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}

// ValidateCSIDriver checks a driver.
func ValidateCSIDriver(d *storagev1.CSIDriver) field.ErrorList {
	spec, s := field.NewPath("spec"), &d.Spec
	errs := validateDriver(d.Name, field.NewPath("metadata", "name"))
	if s.AttachRequired == nil {
		errs = append(errs, field.Required(spec.Child("attachedRequired"), ""))
	}
	if s.FSGroupPolicy != nil {
		errs = append(errs, rules.OneOf(*s.FSGroupPolicy, spec.Child("fsGroupPolicy"),
			storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)...)
	}
	for i, m := range s.VolumeLifecycleModes {
		errs = append(errs, rules.OneOf(m, spec.Child("volumeLifecycleModes").Index(i), storagev1.VolumeLifecycleEphemeral, storagev1.VolumeLifecyclePersistent)...)
	}
	const minutes, years = 10 * 60, int64(1) << 32
	seen := map[string]bool{}
	for i, t := range s.TokenRequests {
		at := spec.Child("tokenRequests").Index(i)
		if seen[t.Audience] {
			errs = append(errs, field.Duplicate(at.Child("audience"), t.Audience))
		}
		seen[t.Audience] = true
		if t.ExpirationSeconds != nil {
			errs = append(errs, rules.Between(*t.ExpirationSeconds, minutes, years, at.Child("expirationSeconds"))...)
		}
	}
	if s.ServiceAccountTokenInSecrets != nil && len(s.TokenRequests) == 0 {
		errs = append(errs, field.Forbidden(spec.Child("serviceAccountTokenInSecrets"), "may only be set together with tokenRequests"))
	}
	if p := s.NodeAllocatableUpdatePeriodSeconds; p != nil && *p < 10 {
		errs = append(errs, field.Invalid(spec.Child("nodeAllocatableUpdatePeriodSeconds"), *p, "must be greater than or equal to 10 seconds"))
	}
	return errs
}

// ValidateCSIDriverUpdate also refuses to change how volumes are attached.
func ValidateCSIDriverUpdate(d, old *storagev1.CSIDriver) field.ErrorList {
	spec := field.NewPath("spec")
	errs := append(ValidateCSIDriver(d), rules.Same(d.Spec.AttachRequired, old.Spec.AttachRequired, spec.Child("attachedRequired"))...)
	return append(errs, rules.Same(d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes, spec.Child("volumeLifecycleModes"))...)
}

// CSIDriverColumns are what kubectl prints.
func CSIDriverColumns() []metav1.TableColumnDefinition {
	doc := storagev1.CSIDriverSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Boolean("AttachRequired", doc["attachRequired"]),
		table.Boolean("PodInfoOnMount", doc["podInfoOnMount"]),
		table.Boolean("StorageCapacity", doc["storageCapacity"]),
		table.Text("TokenRequests", doc["tokenRequests"]),
		table.Boolean("RequiresRepublish", doc["requiresRepublish"]),
		table.Text("Modes", doc["volumeLifecycleModes"]),
		table.AgeColumn(),
	}
}

// CSIDriverRow fills CSIDriverColumns.
func CSIDriverRow(d *storagev1.CSIDriver, now time.Time) []any {
	var modes, tokens []string
	for _, m := range d.Spec.VolumeLifecycleModes {
		modes = append(modes, string(m))
	}
	for _, t := range d.Spec.TokenRequests {
		tokens = append(tokens, t.Audience)
	}
	return []any{
		d.Name, d.Spec.AttachRequired == nil || *d.Spec.AttachRequired, is(d.Spec.PodInfoOnMount), is(d.Spec.StorageCapacity),
		table.OrUnset(strings.Join(tokens, ",")), is(d.Spec.RequiresRepublish),
		table.OrNone(strings.Join(modes, ",")), table.Age(d.CreationTimestamp, now),
	}
}
