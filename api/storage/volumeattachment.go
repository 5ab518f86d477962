package storage

import (
	"time"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateVolumeAttachment checks an attachment.
func ValidateVolumeAttachment(a *storagev1.VolumeAttachment) field.ErrorList {
	spec, src := field.NewPath("spec"), &a.Spec.Source
	errs := validateDriver(a.Spec.Attacher, spec.Child("attacher"))
	switch {
	case src.PersistentVolumeName == nil && src.InlineVolumeSpec == nil:
		errs = append(errs, field.Required(spec.Child("source"), "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
	case src.PersistentVolumeName != nil && src.InlineVolumeSpec != nil:
		errs = append(errs, field.Forbidden(spec.Child("source"), "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
	case src.PersistentVolumeName != nil && *src.PersistentVolumeName == "":
		errs = append(errs, field.Required(spec.Child("source", "persistentVolumeName"), ""))
	case src.PersistentVolumeName != nil:
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(*src.PersistentVolumeName), *src.PersistentVolumeName, spec.Child("source", "persistentVolumeName"))...)
	}
	errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(a.Spec.NodeName), a.Spec.NodeName, spec.Child("nodeName"))...)
	return append(errs, validateAttachmentStatus(&a.Status)...)
}

// ValidateVolumeAttachmentUpdate refuses to change what is attached where.
func ValidateVolumeAttachmentUpdate(a, old *storagev1.VolumeAttachment) field.ErrorList {
	return append(ValidateVolumeAttachment(a), rules.Same(a.Spec, old.Spec, field.NewPath("spec"))...)
}

// ValidateVolumeAttachmentStatus checks what the attacher reports.
func ValidateVolumeAttachmentStatus(a, _ *storagev1.VolumeAttachment) field.ErrorList {
	return validateAttachmentStatus(&a.Status)
}

func validateAttachmentStatus(s *storagev1.VolumeAttachmentStatus) field.ErrorList {
	path, size := field.NewPath("status"), 0
	var errs field.ErrorList
	for k, v := range s.AttachmentMetadata {
		size += len(k) + len(v)
	}
	if size > maxAttachmentBytes {
		errs = append(errs, field.TooLong(path.Child("attachmentMetadata"), "", maxAttachmentBytes))
	}
	for name, e := range map[string]*storagev1.VolumeError{"attachError": s.AttachError, "detachError": s.DetachError} {
		if e != nil && len(e.Message) > maxErrorBytes {
			errs = append(errs, field.TooLong(path.Child(name, "message"), "", maxErrorBytes))
		}
	}
	return errs
}

// VolumeAttachmentColumns are what kubectl prints.
func VolumeAttachmentColumns() []metav1.TableColumnDefinition {
	spec := storagev1.VolumeAttachmentSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Attacher", spec["attacher"]),
		table.Text("PV", storagev1.VolumeAttachmentSource{}.SwaggerDoc()["persistentVolumeName"]),
		table.Text("Node", spec["nodeName"]),
		table.Boolean("Attached", storagev1.VolumeAttachmentStatus{}.SwaggerDoc()["attached"]),
		table.AgeColumn(),
	}
}

// VolumeAttachmentRow fills VolumeAttachmentColumns.
func VolumeAttachmentRow(a *storagev1.VolumeAttachment, now time.Time) []any {
	volume := ""
	if a.Spec.Source.PersistentVolumeName != nil {
		volume = *a.Spec.Source.PersistentVolumeName
	}
	return []any{a.Name, a.Spec.Attacher, volume, a.Spec.NodeName, a.Status.Attached, table.Age(a.CreationTimestamp, now)}
}
