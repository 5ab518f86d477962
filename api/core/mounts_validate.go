package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// mounts judges where a container mounts and maps the pod's volumes.
func (pc *podContext) mounts(c *corev1.Container, path *field.Path) (errs field.ErrorList) {
	if len(c.VolumeMounts) == 0 && len(c.VolumeDevices) == 0 {
		return nil
	}
	at := path.Child("volumeMounts")
	mounted, devices, deviceNames := rules.Seen[string]{}, rules.Seen[string]{}, rules.Seen[string]{}
	for i := range c.VolumeDevices {
		devices.Again(c.VolumeDevices[i].DevicePath)
		deviceNames.Again(c.VolumeDevices[i].Name)
	}
	for i := range c.VolumeMounts {
		m, p := &c.VolumeMounts[i], at.Index(i)
		errs = append(errs, pc.mount(m, c, p)...)
		if m.MountPath == "" {
			continue
		}
		if mounted.Again(m.MountPath) {
			errs = append(errs, field.Invalid(p.Child("mountPath"), m.MountPath, "must be unique"))
		}
		if devices.Has(m.MountPath) {
			errs = append(errs, field.Invalid(p.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices"))
		}
		if deviceNames.Has(m.Name) {
			errs = append(errs, field.Invalid(p.Child("name"), m.Name, "must not already exist in volumeDevices"))
		}
	}
	return append(errs, pc.devices(c.VolumeDevices, path.Child("volumeDevices"))...)
}

func (pc *podContext) mount(m *corev1.VolumeMount, c *corev1.Container, p *field.Path) (errs field.ErrorList) {
	v, known := pc.volumes[m.Name]
	switch {
	case m.Name == "":
		errs = append(errs, field.Required(p.Child("name"), ""))
	case !known:
		errs = append(errs, field.NotFound(p.Child("name"), m.Name))
	}
	errs = requireText(errs, m.MountPath, p.Child("mountPath"))
	if m.SubPath != "" {
		errs = append(errs, validateInnerPath(m.SubPath, p.Child("subPath"))...)
	}
	if m.SubPathExpr != "" {
		if m.SubPath != "" {
			errs = append(errs, field.Invalid(p.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
		}
		errs = append(errs, validateInnerPath(m.SubPathExpr, p.Child("subPathExpr"))...)
	}
	if known && v.Image != nil && m.SubPathExpr != "" {
		errs = append(errs, field.Forbidden(p.Child("subPathExpr"), "not allowed in image volumes"))
	}
	if m.MountPropagation != nil {
		errs = append(errs, validatePropagation(*m.MountPropagation, c, p.Child("mountPropagation"))...)
	}
	if m.RecursiveReadOnly != nil {
		errs = append(errs, validateRecursive(m, p.Child("recursiveReadOnly"))...)
	}
	return errs
}

func validatePropagation(mode corev1.MountPropagationMode, c *corev1.Container, p *field.Path) field.ErrorList {
	errs := oneOf(nil, mode, p, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
	privileged := c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
	if mode == corev1.MountPropagationBidirectional && !privileged {
		errs = append(errs, field.Forbidden(p, "Bidirectional mount propagation is available only to privileged containers"))
	}
	return errs
}

func validateRecursive(m *corev1.VolumeMount, p *field.Path) field.ErrorList {
	mode := *m.RecursiveReadOnly
	errs := oneOf(nil, mode, p, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)
	if mode == corev1.RecursiveReadOnlyDisabled || len(errs) > 0 {
		return errs
	}
	if !m.ReadOnly {
		errs = append(errs, field.Forbidden(p, "may only be specified when readOnly is true"))
	}
	if mp := m.MountPropagation; mp != nil && *mp != corev1.MountPropagationNone {
		errs = append(errs, field.Forbidden(p, "may only be specified when mountPropagation is None or not specified"))
	}
	return errs
}

func (pc *podContext) devices(ds []corev1.VolumeDevice, path *field.Path) (errs field.ErrorList) {
	seen := rules.Seen[string]{}
	for i := range ds {
		d, p := &ds[i], path.Index(i)
		switch v, known := pc.volumes[d.Name]; {
		case d.Name == "":
			errs = append(errs, field.Required(p.Child("name"), ""))
		case !known:
			errs = append(errs, field.NotFound(p.Child("name"), d.Name))
		case v.PersistentVolumeClaim == nil && v.Ephemeral == nil:
			errs = append(errs, field.Invalid(p.Child("name"), d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		if d.DevicePath == "" {
			errs = append(errs, field.Required(p.Child("devicePath"), ""))
			continue
		}
		errs = refuseDotDot(errs, d.DevicePath, p.Child("devicePath"))
		if seen.Again(d.DevicePath) {
			errs = append(errs, field.Invalid(p.Child("devicePath"), d.DevicePath, "must be unique"))
		}
	}
	return errs
}
