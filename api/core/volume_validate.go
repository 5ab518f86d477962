package core

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

func validateVolumes(vs []corev1.Volume, at *field.Path) (errs field.ErrorList) {
	seen := rules.Seen[string]{}
	for i := range vs {
		v, p := &vs[i], at.Index(i)
		errs = append(errs, validateVolumeSource(v, p)...)
		switch {
		case v.Name == "":
			errs = append(errs, field.Required(p.Child("name"), ""))
		case seen.Again(v.Name):
			errs = append(errs, field.Duplicate(p.Child("name"), v.Name))
		default:
			errs = checkLabel(errs, v.Name, p.Child("name"))
		}
	}
	return errs
}

// validateVolumeSource: exactly one source, and that one right.
func validateVolumeSource(v *corev1.Volume, at *field.Path) (errs field.ErrorList) {
	n := 0
	one := func(name string, set bool, check func(*field.Path) field.ErrorList) {
		if !set {
			return
		}
		p := at.Child(name)
		if n++; n > 1 {
			errs = append(errs, field.Forbidden(p, "may not specify more than 1 volume type"))
		} else if check != nil {
			errs = append(errs, check(p)...)
		}
	}
	s := &v.VolumeSource
	one("emptyDir", s.EmptyDir != nil, func(p *field.Path) (e field.ErrorList) {
		if l := s.EmptyDir.SizeLimit; l != nil && l.Sign() < 0 {
			e = append(e, field.Forbidden(p.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
		}
		return e
	})
	one("hostPath", s.HostPath != nil, func(p *field.Path) field.ErrorList { return validateHostPath(s.HostPath, p) })
	one("secret", s.Secret != nil, func(p *field.Path) field.ErrorList {
		return validateKeyedSource(keyedSource{s.Secret.SecretName, "secretName", s.Secret.DefaultMode, s.Secret.Items}, p)
	})
	one("configMap", s.ConfigMap != nil, func(p *field.Path) field.ErrorList {
		return validateKeyedSource(keyedSource{s.ConfigMap.Name, "name", s.ConfigMap.DefaultMode, s.ConfigMap.Items}, p)
	})
	one("downwardAPI", s.DownwardAPI != nil, func(p *field.Path) field.ErrorList {
		return append(checkMode(nil, s.DownwardAPI.DefaultMode, p.Child("defaultMode")), validateDownward(s.DownwardAPI.Items, p.Child("items"))...)
	})
	one("projected", s.Projected != nil, func(p *field.Path) field.ErrorList { return validateProjected(s.Projected, p) })
	one("persistentVolumeClaim", s.PersistentVolumeClaim != nil, func(p *field.Path) field.ErrorList {
		return requireText(nil, s.PersistentVolumeClaim.ClaimName, p.Child("claimName"))
	})
	one("ephemeral", s.Ephemeral != nil, func(p *field.Path) field.ErrorList { return validateEphemeralVolume(s.Ephemeral, p) })
	one("image", s.Image != nil, func(p *field.Path) field.ErrorList {
		e := validateImage(nil, s.Image.Reference, p.Child("reference"))
		return oneOf(e, s.Image.PullPolicy, p.Child("pullPolicy"), corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	})
	one("csi", s.CSI != nil, func(p *field.Path) field.ErrorList { return validateInlineCSI(s.CSI, p) })
	one("nfs", s.NFS != nil, func(p *field.Path) field.ErrorList { return validateNFS(s.NFS, p) })
	eachLegacyVolume(s, one)
	if n == 0 {
		errs = append(errs, field.Required(at, "must specify a volume type"))
	}
	return errs
}

// eachLegacyVolume names the in-tree sources that no longer have rules of
// their own beyond being the only one.
func eachLegacyVolume(s *corev1.VolumeSource, one func(string, bool, func(*field.Path) field.ErrorList)) {
	one("gitRepo", s.GitRepo != nil, func(p *field.Path) field.ErrorList {
		return requireText(nil, s.GitRepo.Repository, p.Child("repository"))
	})
	one("gcePersistentDisk", s.GCEPersistentDisk != nil, nil)
	one("awsElasticBlockStore", s.AWSElasticBlockStore != nil, nil)
	one("iscsi", s.ISCSI != nil, nil)
	one("glusterfs", s.Glusterfs != nil, nil)
	one("rbd", s.RBD != nil, nil)
	one("flexVolume", s.FlexVolume != nil, nil)
	one("cinder", s.Cinder != nil, nil)
	one("cephfs", s.CephFS != nil, nil)
	one("flocker", s.Flocker != nil, nil)
	one("fc", s.FC != nil, nil)
	one("azureFile", s.AzureFile != nil, nil)
	one("vsphereVolume", s.VsphereVolume != nil, nil)
	one("quobyte", s.Quobyte != nil, nil)
	one("azureDisk", s.AzureDisk != nil, nil)
	one("photonPersistentDisk", s.PhotonPersistentDisk != nil, nil)
	one("portworxVolume", s.PortworxVolume != nil, nil)
	one("scaleIO", s.ScaleIO != nil, nil)
	one("storageos", s.StorageOS != nil, nil)
}

func requireText(errs field.ErrorList, v string, p *field.Path) field.ErrorList {
	if v == "" {
		errs = append(errs, field.Required(p, ""))
	}
	return errs
}

func validateHostPath(h *corev1.HostPathVolumeSource, p *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(p.Child("path"), "")}
	}
	errs := refuseDotDot(nil, h.Path, p.Child("path"))
	if h.Type == nil {
		return errs
	}
	return oneOf(errs, *h.Type, p.Child("type"), corev1.HostPathUnset, corev1.HostPathBlockDev, corev1.HostPathCharDev,
		corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket)
}

func validateNFS(n *corev1.NFSVolumeSource, p *field.Path) field.ErrorList {
	errs := requireText(nil, n.Server, p.Child("server"))
	errs = requireText(errs, n.Path, p.Child("path"))
	if n.Path != "" && !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(p.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}

// validateInnerPath judges a path that must stay below a volume's root.
func validateInnerPath(v string, p *field.Path) (errs field.ErrorList) {
	if path.IsAbs(v) {
		errs = append(errs, field.Invalid(p, v, "must be a relative path"))
	}
	return refuseDotDot(errs, v, p)
}

func refuseDotDot(errs field.ErrorList, v string, p *field.Path) field.ErrorList {
	if !strings.Contains(v, "..") {
		return errs
	}
	for _, part := range strings.Split(v, "/") {
		if part == ".." {
			return append(errs, field.Invalid(p, v, "must not contain '..'"))
		}
	}
	return errs
}

// validateFilePath judges the name of a file inside a projected volume, whose
// root keeps names that start with two dots for itself.
func validateFilePath(v string, p *field.Path) field.ErrorList {
	errs := validateInnerPath(v, p)
	if len(errs) == 0 && strings.HasPrefix(v, "..") {
		errs = append(errs, field.Invalid(p, v, "must not start with '..'"))
	}
	return errs
}

func checkMode(errs field.ErrorList, mode *int32, p *field.Path) field.ErrorList {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		errs = append(errs, field.Invalid(p, *mode, "must be a number between 0 and 0777 (octal), both inclusive"))
	}
	return errs
}
