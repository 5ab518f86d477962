package core

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"hyperkube/api/table"
)

// ValidatePersistentVolume judges a new volume.
func ValidatePersistentVolume(v *corev1.PersistentVolume) (errs field.ErrorList) {
	path, s := field.NewPath("spec"), &v.Spec
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(path.Child("accessModes"), ""))
	}
	errs = append(errs, validateAccessModes(s.AccessModes, path.Child("accessModes"))...)
	at := path.Child("capacity")
	if size, ok := s.Capacity[corev1.ResourceStorage]; !ok || len(s.Capacity) > 1 {
		errs = append(errs, field.NotSupported(at, s.Capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	} else if size.Sign() <= 0 {
		errs = append(errs, field.Invalid(at.Key(string(corev1.ResourceStorage)), size.String(), "must be greater than zero"))
	}
	errs = oneOf(errs, s.PersistentVolumeReclaimPolicy, path.Child("persistentVolumeReclaimPolicy"),
		corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)
	if s.VolumeMode != nil {
		errs = oneOf(errs, *s.VolumeMode, path.Child("volumeMode"), corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
	}
	if s.StorageClassName != "" {
		errs = checkSubdomain(errs, s.StorageClassName, path.Child("storageClassName"))
	}
	if n := s.VolumeAttributesClassName; n != nil {
		errs = checkSubdomain(errs, *n, path.Child("volumeAttributesClassName"))
		if s.CSI == nil {
			errs = append(errs, field.Required(path.Child("csi"), "has to be specified when using volumeAttributesClassName"))
		}
	}
	if s.NodeAffinity != nil {
		errs = append(errs, validateVolumeAffinity(s.NodeAffinity, path.Child("nodeAffinity"))...)
	} else if s.Local != nil {
		errs = append(errs, field.Required(path.Child("nodeAffinity"), "Local volume requires node affinity"))
	}
	return append(errs, validatePersistentSource(s, path)...)
}

func validateVolumeAffinity(a *corev1.VolumeNodeAffinity, path *field.Path) field.ErrorList {
	if a.Required == nil {
		return field.ErrorList{field.Required(path.Child("required"), "must specify required node constraints")}
	}
	return ValidateNodeSelector(a.Required, path.Child("required"))
}

// validatePersistentSource: exactly one, with rules for those that still work
// without a driver of their own.
func validatePersistentSource(s *corev1.PersistentVolumeSpec, path *field.Path) (errs field.ErrorList) {
	n := 0
	one := func(name string, set bool, check func(*field.Path) field.ErrorList) {
		if !set {
			return
		}
		p := path.Child(name)
		if n++; n > 1 {
			errs = append(errs, field.Forbidden(p, "may not specify more than 1 volume type"))
		} else if check != nil {
			errs = append(errs, check(p)...)
		}
	}
	one("hostPath", s.HostPath != nil, func(p *field.Path) (e field.ErrorList) {
		e = validateHostPath(s.HostPath, p)
		if s.HostPath.Path == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
			e = append(e, field.Forbidden(path.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
		}
		return e
	})
	one("local", s.Local != nil, func(p *field.Path) field.ErrorList {
		if s.Local.Path == "" {
			return field.ErrorList{field.Required(p.Child("path"), "")}
		}
		return refuseDotDot(nil, s.Local.Path, p.Child("path"))
	})
	one("nfs", s.NFS != nil, func(p *field.Path) field.ErrorList { return validateNFS(s.NFS, p) })
	one("csi", s.CSI != nil, func(p *field.Path) field.ErrorList {
		return requireText(validateDriverName(s.CSI.Driver, p.Child("driver")), s.CSI.VolumeHandle, p.Child("volumeHandle"))
	})
	one("fc", s.FC != nil, nil)
	one("iscsi", s.ISCSI != nil, nil)
	one("gcePersistentDisk", s.GCEPersistentDisk != nil, nil)
	one("awsElasticBlockStore", s.AWSElasticBlockStore != nil, nil)
	one("azureDisk", s.AzureDisk != nil, nil)
	one("azureFile", s.AzureFile != nil, nil)
	one("cephfs", s.CephFS != nil, nil)
	one("cinder", s.Cinder != nil, nil)
	one("flexVolume", s.FlexVolume != nil, nil)
	one("flocker", s.Flocker != nil, nil)
	one("glusterfs", s.Glusterfs != nil, nil)
	one("photonPersistentDisk", s.PhotonPersistentDisk != nil, nil)
	one("portworxVolume", s.PortworxVolume != nil, nil)
	one("quobyte", s.Quobyte != nil, nil)
	one("rbd", s.RBD != nil, nil)
	one("scaleIO", s.ScaleIO != nil, nil)
	one("storageos", s.StorageOS != nil, nil)
	one("vsphereVolume", s.VsphereVolume != nil, nil)
	if n == 0 {
		errs = append(errs, field.Required(path, "must specify a volume type"))
	}
	return errs
}

// ValidatePersistentVolumeUpdate: where the data lies does not change.
func ValidatePersistentVolumeUpdate(v, old *corev1.PersistentVolume) field.ErrorList {
	errs := ValidatePersistentVolume(v)
	path := field.NewPath("spec")
	is, was := v.Spec.PersistentVolumeSource.DeepCopy(), old.Spec.PersistentVolumeSource.DeepCopy()
	if is.CSI != nil && was.CSI != nil { // secrets may be changed by an administrator
		is.CSI.ControllerExpandSecretRef, is.CSI.NodeExpandSecretRef = was.CSI.ControllerExpandSecretRef, was.CSI.NodeExpandSecretRef
	}
	if !equality.Semantic.DeepEqual(is, was) {
		errs = append(errs, field.Forbidden(path.Child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation"))
	}
	errs = immutable(errs, ptr.Equal(v.Spec.VolumeMode, old.Spec.VolumeMode), v.Spec.VolumeMode, path.Child("volumeMode"))
	if old.Spec.NodeAffinity != nil && !equality.Semantic.DeepEqual(v.Spec.NodeAffinity, old.Spec.NodeAffinity) {
		errs = append(errs, field.Invalid(path.Child("nodeAffinity"), v.Spec.NodeAffinity, "field is immutable, except for updating from beta label to GA"))
	}
	return errs
}

// accessModes shortens modes, in the order of how much they allow.
func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"}} {
		for _, have := range modes {
			if have == m.mode {
				out = append(out, m.short)
				break
			}
		}
	}
	return strings.Join(out, ",")
}

// PersistentVolumeColumns are printed by kubectl get persistentvolumes.
func PersistentVolumeColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("Capacity", "Size of the volume."), table.Text("Access Modes", "How the volume can be mounted."),
		table.Text("Reclaim Policy", "What happens to the volume after its claim."), table.Text("Status", "Phase of the volume."),
		table.Text("Claim", "Claim that the volume is bound to."), table.Text("StorageClass", "Class of the volume."),
		table.Text("VolumeAttributesClass", "Attributes class of the volume."), table.Text("Reason", "Why the volume is in its phase."),
		table.AgeColumn(), table.Wide(table.Text("VolumeMode", "Filesystem or Block.")),
	}
}

// PersistentVolumeRow fills PersistentVolumeColumns.
func PersistentVolumeRow(v *corev1.PersistentVolume, now time.Time) []any {
	claim := ""
	if r := v.Spec.ClaimRef; r != nil {
		claim = r.Namespace + "/" + r.Name
	}
	phase := string(v.Status.Phase)
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	size := v.Spec.Capacity[corev1.ResourceStorage]
	class := v.Spec.StorageClassName
	if beta, ok := v.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		class = beta
	}
	return []any{v.Name, size.String(), accessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim, class,
		table.OrUnset(ptr.Deref(v.Spec.VolumeAttributesClassName, "")), v.Status.Reason, table.Age(v.CreationTimestamp, now), volumeMode(v.Spec.VolumeMode)}
}

func volumeMode(m *corev1.PersistentVolumeMode) string {
	if m == nil {
		return table.Unset
	}
	return string(*m)
}

// PersistentVolumeClaimColumns are printed by kubectl get persistentvolumeclaims.
func PersistentVolumeClaimColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("Status", "Phase of the claim."), table.Text("Volume", "Volume that the claim is bound to."),
		table.Text("Capacity", "Size of the bound volume."), table.Text("Access Modes", "How the bound volume can be mounted."),
		table.Text("StorageClass", "Class that the claim asks for."), table.Text("VolumeAttributesClass", "Attributes class that the claim asks for."),
		table.AgeColumn(), table.Wide(table.Text("VolumeMode", "Filesystem or Block.")),
	}
}

// PersistentVolumeClaimRow fills PersistentVolumeClaimColumns.
func PersistentVolumeClaimRow(c *corev1.PersistentVolumeClaim, now time.Time) []any {
	phase, size, modes := string(c.Status.Phase), "", ""
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	if c.Spec.VolumeName != "" {
		q := c.Status.Capacity[corev1.ResourceStorage]
		size, modes = q.String(), accessModes(c.Status.AccessModes)
	}
	class := ptr.Deref(c.Spec.StorageClassName, "")
	if beta, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		class = beta
	}
	return []any{c.Name, phase, c.Spec.VolumeName, size, modes, class, table.OrUnset(ptr.Deref(c.Spec.VolumeAttributesClassName, "")),
		table.Age(c.CreationTimestamp, now), volumeMode(c.Spec.VolumeMode)}
}
