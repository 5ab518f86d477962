package core

import (
	"math"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const idRange = "must be between 0 and 2147483647, inclusive"

func checkID(errs field.ErrorList, id *int64, p *field.Path) field.ErrorList {
	if id != nil && (*id < 0 || *id > math.MaxInt32) {
		errs = append(errs, field.Invalid(p, *id, idRange))
	}
	return errs
}

func validateSecurityContext(sc *corev1.SecurityContext, spec *corev1.PodSpec, p *field.Path) (errs field.ErrorList) {
	if sc == nil {
		return nil
	}
	errs = checkID(errs, sc.RunAsUser, p.Child("runAsUser"))
	errs = checkID(errs, sc.RunAsGroup, p.Child("runAsGroup"))
	privileged := sc.Privileged != nil && *sc.Privileged
	if sc.ProcMount != nil {
		errs = oneOf(errs, *sc.ProcMount, p.Child("procMount"), corev1.DefaultProcMount, corev1.UnmaskedProcMount)
		if *sc.ProcMount == corev1.UnmaskedProcMount && (spec.HostUsers == nil || *spec.HostUsers) {
			errs = append(errs, field.Invalid(p.Child("procMount"), *sc.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	if sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation {
		if privileged {
			errs = append(errs, field.Invalid(p, sc, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
		}
		if sc.Capabilities != nil {
			for _, c := range sc.Capabilities.Add {
				if c == "CAP_SYS_ADMIN" {
					errs = append(errs, field.Invalid(p, sc, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
				}
			}
		}
	}
	errs = append(errs, validateSeccomp(sc.SeccompProfile, p.Child("seccompProfile"))...)
	errs = append(errs, validateAppArmor(sc.AppArmorProfile, p.Child("appArmorProfile"))...)
	return append(errs, validateWindows(sc.WindowsOptions, p.Child("windowsOptions"))...)
}

func validateSeccomp(s *corev1.SeccompProfile, p *field.Path) (errs field.ErrorList) {
	if s == nil {
		return nil
	}
	errs = requireOneOf(errs, s.Type, p.Child("type"), corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	at := p.Child("localhostProfile")
	switch local := s.Type == corev1.SeccompProfileTypeLocalhost; {
	case local && s.LocalhostProfile == nil:
		errs = append(errs, field.Required(at, "must be set when seccomp type is Localhost"))
	case local:
		errs = append(errs, validateInnerPath(*s.LocalhostProfile, at)...)
	case s.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(at, s, "can only be set when seccomp type is Localhost"))
	}
	return errs
}

func validateAppArmor(s *corev1.AppArmorProfile, p *field.Path) (errs field.ErrorList) {
	if s == nil {
		return nil
	}
	errs = requireOneOf(errs, s.Type, p.Child("type"), corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
	at := p.Child("localhostProfile")
	switch local := s.Type == corev1.AppArmorProfileTypeLocalhost; {
	case local && (s.LocalhostProfile == nil || strings.TrimSpace(*s.LocalhostProfile) == ""):
		errs = append(errs, field.Required(at, "must be set when AppArmor type is Localhost"))
	case local && len(*s.LocalhostProfile) > 4095:
		errs = append(errs, field.TooLong(at, *s.LocalhostProfile, 4095))
	case local && strings.TrimSpace(*s.LocalhostProfile) != *s.LocalhostProfile:
		errs = append(errs, field.Invalid(at, *s.LocalhostProfile, "must not be padded with whitespace"))
	case !local && s.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(at, *s.LocalhostProfile, "can only be set when AppArmor type is Localhost"))
	}
	return errs
}

func validateWindows(w *corev1.WindowsSecurityContextOptions, p *field.Path) (errs field.ErrorList) {
	if w == nil {
		return nil
	}
	if w.GMSACredentialSpecName != nil {
		errs = checkSubdomain(errs, *w.GMSACredentialSpecName, p.Child("gmsaCredentialSpecName"))
	}
	if w.RunAsUserName != nil && *w.RunAsUserName == "" {
		errs = append(errs, field.Invalid(p.Child("runAsUserName"), "", "runAsUserName cannot be an empty string"))
	}
	return errs
}

func validatePodSecurity(spec *corev1.PodSpec, p *field.Path) (errs field.ErrorList) {
	sc := spec.SecurityContext
	if spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace && spec.HostPID {
		errs = append(errs, field.Invalid(p.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	if spec.HostUsers != nil && !*spec.HostUsers {
		if spec.HostPID {
			errs = append(errs, field.Forbidden(p.Child("hostPID"), "when `hostUsers` is false"))
		}
		if spec.HostIPC {
			errs = append(errs, field.Forbidden(p.Child("hostIPC"), "when `hostUsers` is false"))
		}
		if spec.HostNetwork {
			errs = append(errs, field.Forbidden(p.Child("hostNetwork"), "when `hostUsers` is false"))
		}
	}
	if sc == nil {
		return errs
	}
	at := p.Child("securityContext")
	errs = checkID(errs, sc.FSGroup, at.Child("fsGroup"))
	errs = checkID(errs, sc.RunAsUser, at.Child("runAsUser"))
	errs = checkID(errs, sc.RunAsGroup, at.Child("runAsGroup"))
	for i := range sc.SupplementalGroups {
		errs = checkID(errs, &sc.SupplementalGroups[i], at.Child("supplementalGroups").Index(i))
	}
	if sc.SupplementalGroupsPolicy != nil {
		errs = oneOf(errs, *sc.SupplementalGroupsPolicy, at.Child("supplementalGroupsPolicy"), corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)
	}
	if sc.FSGroupChangePolicy != nil {
		errs = oneOf(errs, *sc.FSGroupChangePolicy, at.Child("fsGroupChangePolicy"), corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)
	}
	if sc.SELinuxChangePolicy != nil {
		errs = oneOf(errs, *sc.SELinuxChangePolicy, at.Child("seLinuxChangePolicy"), corev1.SELinuxChangePolicyMountOption, corev1.SELinuxChangePolicyRecursive)
	}
	if len(sc.Sysctls) > 0 {
		errs = append(errs, validateSysctls(sc.Sysctls, spec, at.Child("sysctls"))...)
	}
	errs = append(errs, validateSeccomp(sc.SeccompProfile, at.Child("seccompProfile"))...)
	errs = append(errs, validateAppArmor(sc.AppArmorProfile, at.Child("appArmorProfile"))...)
	return append(errs, validateWindows(sc.WindowsOptions, at.Child("windowsOptions"))...)
}

func validateSysctls(ss []corev1.Sysctl, spec *corev1.PodSpec, p *field.Path) (errs field.ErrorList) {
	seen := map[string]bool{}
	for i, s := range ss {
		at := p.Index(i).Child("name")
		name := strings.ReplaceAll(s.Name, "/", ".")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case !sysctlName(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"))
		case seen[name]:
			errs = append(errs, field.Duplicate(at, s.Name))
		case spec.HostNetwork && strings.HasPrefix(name, "net."):
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostNetwork' is true"))
		case spec.HostIPC && (strings.HasPrefix(name, "kernel.shm") || strings.HasPrefix(name, "kernel.msg") ||
			name == "kernel.sem" || strings.HasPrefix(name, "fs.mqueue.")):
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostIPC' is true"))
		}
		seen[name] = true
	}
	return errs
}

func sysctlName(s string) bool {
	if len(s) > 253 || path.IsAbs(s) {
		return false
	}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '/' }) {
		if !lowerAlnum(part[0]) || !lowerAlnum(part[len(part)-1]) {
			return false
		}
		for i := 0; i < len(part); i++ {
			if c := part[i]; !lowerAlnum(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return s != "" && lowerAlnum(s[0]) && lowerAlnum(s[len(s)-1]) && !strings.Contains(s, "..") && !strings.Contains(s, "//")
}
