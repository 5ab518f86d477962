package warnings

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// volumes warns of kinds of volumes that have left the world and of files that hide others.
func volumes(vs []corev1.Volume, at string) (out []string) {
	for i := range vs {
		v, at := &vs[i], fmt.Sprintf("%s[%d]", at, i)
		if field, why := gone(v); field != "" {
			out = append(out, at+"."+field+": "+why)
		}
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil {
			out = append(out, fraction(*v.EmptyDir.SizeLimit, at+".emptyDir.sizeLimit")...)
		}
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			spec := at + ".ephemeral.volumeClaimTemplate.spec"
			out = append(out, claimSpec(&v.Ephemeral.VolumeClaimTemplate.Spec, spec)...)
		}
		if v.Projected != nil {
			out = append(out, overlaps(v.Projected.Sources, at+".projected")...)
		}
	}
	return out
}

func gone(v *corev1.Volume) (field, why string) {
	switch {
	case v.PhotonPersistentDisk != nil:
		return "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"
	case v.GitRepo != nil:
		return "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"
	case v.ScaleIO != nil:
		return "scaleIO", "deprecated in v1.16, non-functional in v1.22+"
	case v.Flocker != nil:
		return "flocker", "deprecated in v1.22, non-functional in v1.25+"
	case v.StorageOS != nil:
		return "storageOS", "deprecated in v1.22, non-functional in v1.25+"
	case v.Quobyte != nil:
		return "quobyte", "deprecated in v1.22, non-functional in v1.25+"
	case v.Glusterfs != nil:
		return "glusterfs", "deprecated in v1.25, non-functional in v1.26+"
	case v.CephFS != nil:
		return "cephfs", "deprecated in v1.28, non-functional in v1.31+"
	case v.RBD != nil:
		return "rbd", "deprecated in v1.28, non-functional in v1.31+"
	}
	return "", ""
}

// overlaps warns of sources of one projected volume that write the same file.
func overlaps(sources []corev1.VolumeProjection, at string) (out []string) {
	type file struct{ path, source string }
	var all []file
	for i := range sources {
		source := fmt.Sprintf("%s.sources[%d]", at, i)
		for _, p := range filesOf(&sources[i]) {
			p = path.Clean(p)
			for _, f := range all {
				if f.path == p || strings.HasPrefix(p, f.path+"/") || strings.HasPrefix(f.path, p+"/") {
					out = append(out, fmt.Sprintf("%s: projected path %q overlaps with %q of %s", source, p, f.path, f.source))
					break
				}
			}
			all = append(all, file{p, source})
		}
		if len(all) > maxProjected {
			return out
		}
	}
	return out
}

// maxProjected bounds the comparison of files with each other.
const maxProjected = 500

func filesOf(s *corev1.VolumeProjection) (out []string) {
	items := func(list []corev1.KeyToPath) {
		for _, i := range list {
			out = append(out, i.Path)
		}
	}
	switch {
	case s.Secret != nil:
		items(s.Secret.Items)
	case s.ConfigMap != nil:
		items(s.ConfigMap.Items)
	case s.DownwardAPI != nil:
		for _, i := range s.DownwardAPI.Items {
			out = append(out, i.Path)
		}
	case s.ServiceAccountToken != nil:
		out = append(out, s.ServiceAccountToken.Path)
	case s.ClusterTrustBundle != nil:
		out = append(out, s.ClusterTrustBundle.Path)
	case s.PodCertificate != nil:
		for _, p := range []string{s.PodCertificate.CredentialBundlePath, s.PodCertificate.KeyPath, s.PodCertificate.CertificateChainPath} {
			if p != "" {
				out = append(out, p)
			}
		}
	}
	return out[:min(len(out), maxProjected)]
}

// Claim warns of a volume claim.
func Claim(c, old *corev1.PersistentVolumeClaim) (out []string) {
	if _, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok && old == nil {
		out = append(out, fmt.Sprintf("metadata.annotations[%s]: deprecated since v1.8; use \"storageClassName\" attribute instead", corev1.BetaStorageClassAnnotation))
	}
	return append(out, claimSpec(&c.Spec, "spec")...)
}

func claimSpec(s *corev1.PersistentVolumeClaimSpec, at string) (out []string) {
	for _, l := range []struct {
		field string
		list  corev1.ResourceList
	}{{"requests", s.Resources.Requests}, {"limits", s.Resources.Limits}} {
		if q, ok := l.list[corev1.ResourceStorage]; ok {
			out = append(out, fraction(q, fmt.Sprintf("%s.resources.%s[storage]", at, l.field))...)
		}
	}
	return out
}

// PersistentVolume warns of a volume's old ways.
func PersistentVolume(v, _ *corev1.PersistentVolume) (out []string) {
	for _, a := range []struct{ key, since, field string }{
		{corev1.BetaStorageClassAnnotation, "v1.8", "storageClassName"}, {corev1.MountOptionAnnotation, "v1.31", "mountOptions"}} {
		if _, ok := v.Annotations[a.key]; ok {
			out = append(out, fmt.Sprintf("metadata.annotations[%s]: deprecated since %s; use %q attribute instead", a.key, a.since, a.field))
		}
	}
	if v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		out = append(out, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
	}
	if n := v.Spec.NodeAffinity; n != nil && n.Required != nil {
		for i := range n.Required.NodeSelectorTerms {
			out = append(out, nodeTerm(&n.Required.NodeSelectorTerms[i], fmt.Sprintf("spec.nodeAffinity.required.nodeSelectorTerms[%d]", i))...)
		}
	}
	if q, ok := v.Spec.Capacity[corev1.ResourceStorage]; ok {
		out = append(out, fraction(q, "spec.capacity[storage]")...)
	}
	s := &v.Spec.PersistentVolumeSource
	for _, g := range []struct {
		set        bool
		field, why string
	}{
		{s.PhotonPersistentDisk != nil, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
		{s.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
		{s.Flocker != nil, "flocker", "deprecated in v1.22, non-functional in v1.25+"},
		{s.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
		{s.Quobyte != nil, "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
		{s.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
		{s.CephFS != nil, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
		{s.RBD != nil, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
	} {
		if g.set {
			out = append(out, "spec."+g.field+": "+g.why)
		}
	}
	return out
}

// StorageClass warns of topologies that name old labels.
func StorageClass(c, _ *storagev1.StorageClass) (out []string) {
	for i, t := range c.AllowedTopologies {
		for j, e := range t.MatchLabelExpressions {
			if why := oldLabels[e.Key]; why != "" {
				out = append(out, fmt.Sprintf("allowedTopologies[%d].matchLabelExpressions[%d].key: %s %s", i, j, e.Key, why))
			}
		}
	}
	return slices.Clip(out)
}
