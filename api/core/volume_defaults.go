package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func defaultVolume(v *corev1.Volume) {
	if v.VolumeSource == (corev1.VolumeSource{}) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
		return
	}
	s := &v.VolumeSource
	switch {
	case s.Secret != nil:
		setMode(&s.Secret.DefaultMode, corev1.SecretVolumeSourceDefaultMode)
	case s.ConfigMap != nil:
		setMode(&s.ConfigMap.DefaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
	case s.DownwardAPI != nil:
		setMode(&s.DownwardAPI.DefaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
		defaultDownward(s.DownwardAPI.Items)
	case s.Projected != nil:
		setMode(&s.Projected.DefaultMode, corev1.ProjectedVolumeSourceDefaultMode)
		for i := range s.Projected.Sources {
			defaultProjection(&s.Projected.Sources[i])
		}
	case s.HostPath != nil:
		setPtr(&s.HostPath.Type, corev1.HostPathUnset)
	case s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil:
		DefaultClaimSpec(&s.Ephemeral.VolumeClaimTemplate.Spec)
	case s.Image != nil:
		if s.Image.PullPolicy == "" {
			s.Image.PullPolicy = pullPolicyFor(s.Image.Reference)
		}
	default:
		defaultNetworkVolume(s)
	}
}

func defaultProjection(p *corev1.VolumeProjection) {
	if t := p.ServiceAccountToken; t != nil && t.ExpirationSeconds == nil {
		t.ExpirationSeconds = ptr.To(int64(3600))
	}
	if p.DownwardAPI != nil {
		defaultDownward(p.DownwardAPI.Items)
	}
	if c := p.PodCertificate; c != nil && c.MaxExpirationSeconds == nil {
		c.MaxExpirationSeconds = ptr.To(int32(86400))
	}
}

func defaultDownward(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			setDefault(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}

// defaultNetworkVolume completes the in-tree network disks.
func defaultNetworkVolume(s *corev1.VolumeSource) {
	if s.ISCSI != nil {
		setDefault(&s.ISCSI.ISCSIInterface, "default")
	}
	if s.RBD != nil {
		setDefault(&s.RBD.RBDPool, "rbd")
		setDefault(&s.RBD.RadosUser, "admin")
		setDefault(&s.RBD.Keyring, "/etc/ceph/keyring")
	}
	if s.AzureDisk != nil {
		setPtr(&s.AzureDisk.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		setPtr(&s.AzureDisk.Kind, corev1.AzureSharedBlobDisk)
		setPtr(&s.AzureDisk.FSType, "ext4")
		setPtr(&s.AzureDisk.ReadOnly, false)
	}
	if s.ScaleIO != nil {
		setDefault(&s.ScaleIO.StorageMode, "ThinProvisioned")
		setDefault(&s.ScaleIO.FSType, "xfs")
	}
}

func setMode(p **int32, mode int32) { setPtr(p, mode) }

func setPtr[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// DefaultPersistentVolumeClaim completes a claim.
func DefaultPersistentVolumeClaim(c *corev1.PersistentVolumeClaim) {
	setDefault(&c.Status.Phase, corev1.ClaimPending)
	DefaultClaimSpec(&c.Spec)
}

// DefaultClaimSpec completes a claim's spec, also inside templates.
func DefaultClaimSpec(s *corev1.PersistentVolumeClaimSpec) {
	setPtr(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
}

// NormalizeDataSource makes dataSource and dataSourceRef of a new claim mirror
// each other while they stay in one namespace; a dataSource of a kind that the
// old field never allowed is dropped.
func NormalizeDataSource(s *corev1.PersistentVolumeClaimSpec) {
	if d := s.DataSource; d != nil && s.DataSourceRef == nil {
		group := ptr.Deref(d.APIGroup, "")
		snapshot := group == "snapshot.storage.k8s.io" && d.Kind == "VolumeSnapshot"
		if claim := group == "" && d.Kind == "PersistentVolumeClaim"; !claim && !snapshot {
			s.DataSource = nil
			return
		}
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: d.APIGroup, Kind: d.Kind, Name: d.Name}
		return
	}
	if r := s.DataSourceRef; r != nil && s.DataSource == nil && ptr.Deref(r.Namespace, "") == "" {
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: r.APIGroup, Kind: r.Kind, Name: r.Name}
	}
}

// DefaultPersistentVolume completes a volume.
func DefaultPersistentVolume(v *corev1.PersistentVolume) {
	setDefault(&v.Status.Phase, corev1.VolumePending)
	setDefault(&v.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	setPtr(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	s := &v.Spec.PersistentVolumeSource
	if s.HostPath != nil {
		setPtr(&s.HostPath.Type, corev1.HostPathUnset)
	}
	if s.ISCSI != nil {
		setDefault(&s.ISCSI.ISCSIInterface, "default")
	}
	if s.RBD != nil {
		setDefault(&s.RBD.RBDPool, "rbd")
		setDefault(&s.RBD.RadosUser, "admin")
		setDefault(&s.RBD.Keyring, "/etc/ceph/keyring")
	}
	if s.ScaleIO != nil {
		setDefault(&s.ScaleIO.StorageMode, "ThinProvisioned")
		setDefault(&s.ScaleIO.FSType, "xfs")
	}
	if s.AzureDisk != nil {
		setPtr(&s.AzureDisk.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		setPtr(&s.AzureDisk.Kind, corev1.AzureSharedBlobDisk)
		setPtr(&s.AzureDisk.FSType, "ext4")
		setPtr(&s.AzureDisk.ReadOnly, false)
	}
}
