package cri

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maskedPaths and readonlyPaths are what the Default proc mount hides and protects in a container.
func maskedPaths() []string {
	return []string{"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// Namespaces renders which namespaces a pod's containers share.
func Namespaces(pod *v1.Pod, targetID string) *runtimeapi.NamespaceOption {
	n := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
	if pod.Spec.HostNetwork {
		n.Network = runtimeapi.NamespaceMode_NODE
	}
	if pod.Spec.HostIPC {
		n.Ipc = runtimeapi.NamespaceMode_NODE
	}
	switch {
	case pod.Spec.HostPID:
		n.Pid = runtimeapi.NamespaceMode_NODE
	case pod.Spec.ShareProcessNamespace != nil && *pod.Spec.ShareProcessNamespace:
		n.Pid = runtimeapi.NamespaceMode_POD
	case targetID != "":
		n.Pid, n.TargetId = runtimeapi.NamespaceMode_TARGET, targetID
	}
	return n
}

// ImageUser is the user that an image's own configuration names.
type ImageUser struct {
	UID      *int64
	Username string
}

// CheckNonRoot refuses a container that promised not to run as root and would.
func CheckNonRoot(pod *v1.Pod, c *v1.Container, user ImageUser) error {
	nonRoot, uid := effectiveNonRoot(pod, c), effectiveUser(pod, c)
	if nonRoot == nil || !*nonRoot {
		return nil
	}
	switch {
	case uid != nil && *uid == 0:
		return fmt.Errorf("container's runAsUser breaks non-root policy (pod: %q, container: %s)", podRef(pod), c.Name)
	case uid != nil:
		return nil
	case user.UID != nil && *user.UID == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root (pod: %q, container: %s)", podRef(pod), c.Name)
	case user.UID == nil && user.Username != "":
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root (pod: %q, container: %s)",
			user.Username, podRef(pod), c.Name)
	}
	return nil
}

func podRef(pod *v1.Pod) string { return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID) }

func effectiveNonRoot(pod *v1.Pod, c *v1.Container) *bool {
	if s := c.SecurityContext; s != nil && s.RunAsNonRoot != nil {
		return s.RunAsNonRoot
	}
	if s := pod.Spec.SecurityContext; s != nil {
		return s.RunAsNonRoot
	}
	return nil
}

func effectiveUser(pod *v1.Pod, c *v1.Container) *int64 {
	if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
		return s.RunAsUser
	}
	if s := pod.Spec.SecurityContext; s != nil {
		return s.RunAsUser
	}
	return nil
}

func effectiveGroup(pod *v1.Pod, c *v1.Container) *int64 {
	if s := c.SecurityContext; s != nil && s.RunAsGroup != nil {
		return s.RunAsGroup
	}
	if s := pod.Spec.SecurityContext; s != nil {
		return s.RunAsGroup
	}
	return nil
}

func int64Value(v *int64) *runtimeapi.Int64Value {
	if v == nil {
		return nil
	}
	return &runtimeapi.Int64Value{Value: *v}
}

// Privileged tells whether a container asked to be.
func Privileged(c *v1.Container) bool {
	return c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
}

func (r *Renderer) containerSecurity(pod *v1.Pod, c *v1.Container, in ContainerInput) *runtimeapi.LinuxContainerSecurityContext {
	out := &runtimeapi.LinuxContainerSecurityContext{
		NamespaceOptions: Namespaces(pod, in.TargetID),
		Privileged:       Privileged(c),
		RunAsGroup:       int64Value(effectiveGroup(pod, c)),
		MaskedPaths:      maskedPaths(),
		ReadonlyPaths:    readonlyPaths(),
		Seccomp:          r.seccomp(pod, c),
	}
	out.SupplementalGroups, out.SupplementalGroupsPolicy = podGroups(pod)
	switch uid := effectiveUser(pod, c); {
	case uid != nil:
		out.RunAsUser = int64Value(uid)
	case in.User.UID != nil:
		out.RunAsUser = int64Value(in.User.UID)
	default:
		out.RunAsUsername = in.User.Username
	}
	out.Apparmor = apparmor(pod, c)
	s := c.SecurityContext
	if s == nil {
		return out
	}
	out.ReadonlyRootfs = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
	out.NoNewPrivs = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation
	out.SelinuxOptions = selinux(pod, s)
	if s.ProcMount != nil && *s.ProcMount == v1.UnmaskedProcMount {
		out.MaskedPaths, out.ReadonlyPaths = []string{}, []string{}
	}
	if s.Capabilities != nil {
		out.Capabilities = &runtimeapi.Capability{AddCapabilities: caps(s.Capabilities.Add), DropCapabilities: caps(s.Capabilities.Drop)}
	}
	return out
}

func caps(in []v1.Capability) []string {
	var out []string
	for _, c := range in {
		out = append(out, string(c))
	}
	return out
}

func selinux(pod *v1.Pod, s *v1.SecurityContext) *runtimeapi.SELinuxOption {
	o := (*v1.SELinuxOptions)(nil)
	if s != nil {
		o = s.SELinuxOptions
	}
	if o == nil && pod.Spec.SecurityContext != nil {
		o = pod.Spec.SecurityContext.SELinuxOptions
	}
	if o == nil {
		return nil
	}
	return &runtimeapi.SELinuxOption{User: o.User, Role: o.Role, Type: o.Type, Level: o.Level}
}

func podGroups(pod *v1.Pod) ([]int64, runtimeapi.SupplementalGroupsPolicy) {
	s := pod.Spec.SecurityContext
	if s == nil {
		return nil, runtimeapi.SupplementalGroupsPolicy_Merge
	}
	groups := slices.Clone(s.SupplementalGroups)
	if s.FSGroup != nil {
		groups = append(groups, *s.FSGroup)
	}
	if s.SupplementalGroupsPolicy != nil && *s.SupplementalGroupsPolicy == v1.SupplementalGroupsPolicyStrict {
		return groups, runtimeapi.SupplementalGroupsPolicy_Strict
	}
	return groups, runtimeapi.SupplementalGroupsPolicy_Merge
}

func (r *Renderer) seccomp(pod *v1.Pod, c *v1.Container) *runtimeapi.SecurityProfile {
	var p *v1.SeccompProfile
	if s := pod.Spec.SecurityContext; s != nil {
		p = s.SeccompProfile
	}
	if c != nil && c.SecurityContext != nil && c.SecurityContext.SeccompProfile != nil {
		p = c.SecurityContext.SeccompProfile
	}
	if p == nil {
		if r.SeccompDefault {
			return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
		}
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
	}
	switch p.Type {
	case v1.SeccompProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
	case v1.SeccompProfileTypeLocalhost:
		file := ""
		if p.LocalhostProfile != nil {
			file = r.SeccompRoot + "/" + *p.LocalhostProfile
		}
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: file}
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
}

func (r *Renderer) sandboxSeccomp() *runtimeapi.SecurityProfile {
	if r.SandboxSeccomp == "" {
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: r.SandboxSeccomp}
}

func apparmor(pod *v1.Pod, c *v1.Container) *runtimeapi.SecurityProfile {
	var p *v1.AppArmorProfile
	if s := pod.Spec.SecurityContext; s != nil {
		p = s.AppArmorProfile
	}
	if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
		p = c.SecurityContext.AppArmorProfile
	}
	if p == nil {
		return nil
	}
	switch p.Type {
	case v1.AppArmorProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
	case v1.AppArmorProfileTypeLocalhost:
		out := &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost}
		if p.LocalhostProfile != nil {
			out.LocalhostRef = *p.LocalhostProfile
		}
		return out
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
}

// StopSignal is the signal that a container asked to be stopped with.
func StopSignal(c *v1.Container) runtimeapi.Signal {
	if c.Lifecycle == nil || c.Lifecycle.StopSignal == nil {
		return runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT
	}
	name := strings.NewReplacer("+", "PLUS", "-", "MINUS").Replace(string(*c.Lifecycle.StopSignal))
	return runtimeapi.Signal(runtimeapi.Signal_value["SIGNAL_"+name])
}
