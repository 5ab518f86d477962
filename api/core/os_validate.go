package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// unset is a field that the system of a pod does not know, and whether it is set all the same.
type unset struct {
	name string
	set  bool
}

// validateOS: a pod for one system sets nothing that only the other one knows.
func validateOS(s *corev1.PodSpec, path *field.Path) field.ErrorList {
	if s.OS.Name == "" {
		return field.ErrorList{field.Required(path.Child("os", "name"), "cannot be empty")}
	}
	errs := oneOf(nil, s.OS.Name, path.Child("os", "name"), corev1.Linux, corev1.Windows)
	forbid := func(at *field.Path, fields []unset) {
		for _, f := range fields {
			if !f.set {
				continue
			}
			why := "cannot be set for a windows pod"
			if s.OS.Name == corev1.Linux {
				why = "windows options cannot be set for a linux pod"
			}
			errs = append(errs, field.Forbidden(at.Child(f.name), why))
		}
	}
	ofPod, ofSecurity, ofContainer := linuxFields, linuxSecurity, linuxContainerSecurity
	switch s.OS.Name {
	case corev1.Linux:
		ofPod = func(*corev1.PodSpec) []unset { return nil }
		ofSecurity = func(sc *corev1.PodSecurityContext) []unset {
			return []unset{{"windowsOptions", sc.WindowsOptions != nil}}
		}
		ofContainer = func(sc *corev1.SecurityContext) []unset {
			return []unset{{"windowsOptions", sc.WindowsOptions != nil}}
		}
	case corev1.Windows:
	default:
		return errs
	}
	forbid(path, ofPod(s))
	if s.SecurityContext != nil {
		forbid(path.Child("securityContext"), ofSecurity(s.SecurityContext))
	}
	for name, list := range eachContainerList(s) {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil {
				forbid(path.Child(name).Index(i).Child("securityContext"), ofContainer(sc))
			}
		}
	}
	for i := range s.EphemeralContainers {
		if sc := s.EphemeralContainers[i].SecurityContext; sc != nil {
			forbid(path.Child("ephemeralContainers").Index(i).Child("securityContext"), ofContainer(sc))
		}
	}
	return errs
}

// eachContainerList goes through the lists of containers by the name of their field.
func eachContainerList(s *corev1.PodSpec) func(yield func(string, []corev1.Container) bool) {
	return func(yield func(string, []corev1.Container) bool) {
		_ = yield("initContainers", s.InitContainers) && yield("containers", s.Containers)
	}
}

// What the API says a windows pod must leave unset.
func linuxFields(s *corev1.PodSpec) []unset {
	return []unset{
		{"hostPID", s.HostPID}, {"hostIPC", s.HostIPC}, {"hostUsers", s.HostUsers != nil}, {"resources", s.Resources != nil},
		{"shareProcessNamespace", s.ShareProcessNamespace != nil && *s.ShareProcessNamespace},
	}
}

func linuxSecurity(sc *corev1.PodSecurityContext) []unset {
	return []unset{
		{"appArmorProfile", sc.AppArmorProfile != nil}, {"seLinuxOptions", sc.SELinuxOptions != nil},
		{"seccompProfile", sc.SeccompProfile != nil}, {"fsGroup", sc.FSGroup != nil},
		{"fsGroupChangePolicy", sc.FSGroupChangePolicy != nil}, {"sysctls", len(sc.Sysctls) > 0},
		{"runAsUser", sc.RunAsUser != nil}, {"runAsGroup", sc.RunAsGroup != nil},
		{"supplementalGroups", len(sc.SupplementalGroups) > 0}, {"supplementalGroupsPolicy", sc.SupplementalGroupsPolicy != nil},
		{"seLinuxChangePolicy", sc.SELinuxChangePolicy != nil},
	}
}

func linuxContainerSecurity(sc *corev1.SecurityContext) []unset {
	return []unset{
		{"appArmorProfile", sc.AppArmorProfile != nil}, {"seLinuxOptions", sc.SELinuxOptions != nil},
		{"seccompProfile", sc.SeccompProfile != nil}, {"capabilities", sc.Capabilities != nil},
		{"readOnlyRootFilesystem", sc.ReadOnlyRootFilesystem != nil}, {"privileged", sc.Privileged != nil},
		{"allowPrivilegeEscalation", sc.AllowPrivilegeEscalation != nil}, {"procMount", sc.ProcMount != nil},
		{"runAsUser", sc.RunAsUser != nil}, {"runAsGroup", sc.RunAsGroup != nil},
	}
}
