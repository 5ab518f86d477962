package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// keyedSource is a secret or config map as a volume.
type keyedSource struct {
	name, nameField string
	mode            *int32
	items           []corev1.KeyToPath
}

func validateKeyedSource(s keyedSource, p *field.Path) field.ErrorList {
	errs := requireText(nil, s.name, p.Child(s.nameField))
	errs = checkMode(errs, s.mode, p.Child("defaultMode"))
	return append(errs, validateItems(s.items, p.Child("items"))...)
}

func validateItems(items []corev1.KeyToPath, p *field.Path) (errs field.ErrorList) {
	for i := range items {
		it, at := &items[i], p.Index(i)
		if it.Key == "" {
			errs = append(errs, field.Required(at.Child("key"), ""))
		}
		if it.Path == "" {
			errs = append(errs, field.Required(at.Child("path"), ""))
		} else {
			errs = append(errs, validateFilePath(it.Path, at.Child("path"))...)
		}
		errs = checkMode(errs, it.Mode, at.Child("mode"))
	}
	return errs
}

func validateDownward(items []corev1.DownwardAPIVolumeFile, p *field.Path) (errs field.ErrorList) {
	for i := range items {
		f, at := &items[i], p.Index(i)
		if f.Path == "" {
			errs = append(errs, field.Required(at.Child("path"), ""))
		} else {
			errs = append(errs, validateFilePath(f.Path, at.Child("path"))...)
		}
		switch {
		case f.FieldRef != nil && f.ResourceFieldRef != nil:
			errs = append(errs, field.Invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		case f.FieldRef != nil:
			errs = append(errs, validateFieldRef(f.FieldRef, volumeFields[:], at.Child("fieldRef"))...)
		case f.ResourceFieldRef != nil:
			errs = append(errs, validateResourceFieldRef(f.ResourceFieldRef, true, at.Child("resourceFieldRef"))...)
		default:
			errs = append(errs, field.Required(at, "one of fieldRef and resourceFieldRef is required"))
		}
		errs = checkMode(errs, f.Mode, at.Child("mode"))
	}
	return errs
}

func validateProjected(v *corev1.ProjectedVolumeSource, p *field.Path) field.ErrorList {
	errs := checkMode(nil, v.DefaultMode, p.Child("defaultMode"))
	taken := map[string]bool{}
	for i := range v.Sources {
		errs = append(errs, validateProjection(&v.Sources[i], taken, p.Child("sources").Index(i))...)
	}
	return errs
}

// validateProjection judges one source; taken are the file names met so far.
func validateProjection(s *corev1.VolumeProjection, taken map[string]bool, at *field.Path) (errs field.ErrorList) {
	n := 0
	one := func(name string, set bool) (p *field.Path, first bool) {
		if !set {
			return nil, false
		}
		p = at.Child(name)
		if n++; n > 1 {
			errs = append(errs, field.Forbidden(p, "may not specify more than 1 volume type per source"))
		}
		return p, n == 1
	}
	take := func(file string, p *field.Path) {
		if file != "" && taken[file] {
			errs = append(errs, field.Invalid(p, file, "conflicting duplicate paths"))
		}
		taken[file] = true
	}
	if p, ok := one("secret", s.Secret != nil); ok {
		errs = append(errs, validateKeyedSource(keyedSource{s.Secret.Name, "name", nil, s.Secret.Items}, p)...)
		for i := range s.Secret.Items {
			take(s.Secret.Items[i].Path, p.Child("items").Index(i).Child("path"))
		}
	}
	if p, ok := one("configMap", s.ConfigMap != nil); ok {
		errs = append(errs, validateKeyedSource(keyedSource{s.ConfigMap.Name, "name", nil, s.ConfigMap.Items}, p)...)
		for i := range s.ConfigMap.Items {
			take(s.ConfigMap.Items[i].Path, p.Child("items").Index(i).Child("path"))
		}
	}
	if p, ok := one("downwardAPI", s.DownwardAPI != nil); ok {
		errs = append(errs, validateDownward(s.DownwardAPI.Items, p.Child("items"))...)
		for i := range s.DownwardAPI.Items {
			take(s.DownwardAPI.Items[i].Path, p.Child("items").Index(i).Child("path"))
		}
	}
	if p, ok := one("serviceAccountToken", s.ServiceAccountToken != nil); ok {
		errs = append(errs, validateTokenProjection(s.ServiceAccountToken, p)...)
		take(s.ServiceAccountToken.Path, p.Child("path"))
	}
	if p, ok := one("clusterTrustBundle", s.ClusterTrustBundle != nil); ok {
		errs = append(errs, validateTrustProjection(s.ClusterTrustBundle, p)...)
		take(s.ClusterTrustBundle.Path, p.Child("path"))
	}
	if p, ok := one("podCertificate", s.PodCertificate != nil); ok {
		c := s.PodCertificate
		errs = append(errs, validateCertificateProjection(c, p)...)
		for _, f := range []struct{ name, file string }{
			{"credentialBundlePath", c.CredentialBundlePath}, {"keyPath", c.KeyPath}, {"certificateChainPath", c.CertificateChainPath}} {
			if f.file != "" {
				errs = append(errs, validateFilePath(f.file, p.Child(f.name))...)
				take(f.file, p.Child(f.name))
			}
		}
	}
	if n == 0 {
		errs = append(errs, field.Required(at, "must specify a projected volume source"))
	}
	return errs
}

func validateTokenProjection(t *corev1.ServiceAccountTokenProjection, p *field.Path) (errs field.ErrorList) {
	if e := t.ExpirationSeconds; e != nil {
		errs = append(errs, validateLifetime(*e, p.Child("expirationSeconds"))...)
	}
	if t.Path == "" {
		return append(errs, field.Required(p.Child("path"), ""))
	}
	return append(errs, validateFilePath(t.Path, p.Child("path"))...)
}

// validateLifetime: service-account tokens live between ten minutes and 2^32 s.
func validateLifetime(seconds int64, p *field.Path) field.ErrorList {
	if seconds < 600 {
		return field.ErrorList{field.Invalid(p, seconds, "may not specify a duration less than 10 minutes")}
	}
	if seconds > 1<<32 {
		return field.ErrorList{field.Invalid(p, seconds, "may not specify a duration larger than 2^32 seconds")}
	}
	return nil
}

func validateTrustProjection(c *corev1.ClusterTrustBundleProjection, p *field.Path) (errs field.ErrorList) {
	switch {
	case c.Name != nil && c.SignerName != nil:
		errs = append(errs, field.Invalid(p, c, "only one of name and signerName may be used"))
	case c.Name == nil && c.SignerName == nil:
		errs = append(errs, field.Required(p, "either name or signerName must be specified"))
	case c.Name != nil && c.LabelSelector != nil:
		errs = append(errs, field.Invalid(p.Child("labelSelector"), c.LabelSelector, "labelSelector must be unset if name is specified"))
	}
	errs = append(errs, ValidateLabelSelector(c.LabelSelector, p.Child("labelSelector"))...)
	if c.Path == "" {
		return append(errs, field.Required(p.Child("path"), ""))
	}
	return append(errs, validateFilePath(c.Path, p.Child("path"))...)
}

// The kinds of keys that a kubelet makes for a pod, and how long the certificate may be asked for.
var certificateKeys = []string{"ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"}

const (
	minCertificateSeconds = 3600
	maxCertificateSeconds = 91 * 24 * 3600
)

func validateCertificateProjection(c *corev1.PodCertificateProjection, p *field.Path) field.ErrorList {
	errs := requireText(nil, c.SignerName, p.Child("signerName"))
	errs = requireOneOf(errs, c.KeyType, p.Child("keyType"), certificateKeys...)
	if s := c.MaxExpirationSeconds; s != nil {
		errs = append(errs, rules.Between(*s, minCertificateSeconds, maxCertificateSeconds, p.Child("maxExpirationSeconds"))...)
	}
	if c.CredentialBundlePath == "" && c.KeyPath == "" && c.CertificateChainPath == "" {
		errs = append(errs, field.Required(p, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"))
	}
	return errs
}

func validateInlineCSI(c *corev1.CSIVolumeSource, p *field.Path) field.ErrorList {
	errs := validateDriverName(c.Driver, p.Child("driver"))
	if r := c.NodePublishSecretRef; r != nil && r.Name == "" {
		errs = append(errs, field.Required(p.Child("nodePublishSecretRef", "name"), ""))
	}
	return errs
}

func validateDriverName(name string, p *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	if len(name) > 63 {
		return field.ErrorList{field.TooLong(p, name, 63)}
	}
	return checkSubdomain(nil, strings.ToLower(name), p)
}

func validateEphemeralVolume(e *corev1.EphemeralVolumeSource, p *field.Path) field.ErrorList {
	t := e.VolumeClaimTemplate
	if t == nil {
		return field.ErrorList{field.Required(p.Child("volumeClaimTemplate"), "")}
	}
	at := p.Child("volumeClaimTemplate")
	errs := ValidateLabels(t.Labels, at.Child("metadata", "labels"))
	if t.Name != "" || t.GenerateName != "" {
		errs = append(errs, field.Forbidden(at.Child("metadata", "name"), "cannot be set for an ephemeral volume"))
	}
	return append(errs, ValidateClaimSpec(&t.Spec, at.Child("spec"))...)
}
