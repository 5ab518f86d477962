package cri

import (
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

// namespaces renders which namespaces a pod's containers share.
func (r *Renderer) namespaces(pod *v1.Pod, targetID string) *runtimeapi.NamespaceOption {
	n := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
	if r.UserNS != nil {
		n.UsernsOptions = r.UserNS(pod)
	}
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

func (r *Renderer) containerSecurity(pod *v1.Pod, c *v1.Container, in ContainerInput) (*runtimeapi.LinuxContainerSecurityContext, error) {
	seccomp, err := r.seccomp(pod, c)
	if err != nil {
		return nil, err
	}
	armor, err := apparmor(pod, c)
	if err != nil {
		return nil, err
	}
	out := &runtimeapi.LinuxContainerSecurityContext{
		NamespaceOptions: r.namespaces(pod, in.TargetID),
		Privileged:       Privileged(c),
		RunAsGroup:       int64Value(effectiveGroup(pod, c)),
		MaskedPaths:      maskedPaths(),
		ReadonlyPaths:    readonlyPaths(),
		Seccomp:          seccomp,
		Apparmor:         armor,
		SelinuxOptions:   selinux(pod, c.SecurityContext),
	}
	out.SupplementalGroups, out.SupplementalGroupsPolicy = podGroups(pod)
	user := in.User.effective()
	switch uid := effectiveUser(pod, c); {
	case uid != nil:
		out.RunAsUser = int64Value(uid)
	case user.UID != nil:
		out.RunAsUser = int64Value(user.UID)
	default:
		out.RunAsUsername = user.Username
	}
	s := c.SecurityContext
	if s == nil {
		return out, nil
	}
	out.ReadonlyRootfs = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
	out.NoNewPrivs = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation
	if s.ProcMount != nil && *s.ProcMount == v1.UnmaskedProcMount {
		out.MaskedPaths, out.ReadonlyPaths = []string{}, []string{}
	}
	if s.Capabilities != nil {
		out.Capabilities = &runtimeapi.Capability{AddCapabilities: caps(s.Capabilities.Add), DropCapabilities: caps(s.Capabilities.Drop)}
	}
	return out, nil
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

// StopSignal is the signal that a container asked to be stopped with.
func StopSignal(c *v1.Container) runtimeapi.Signal {
	if c.Lifecycle == nil || c.Lifecycle.StopSignal == nil {
		return runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT
	}
	name := strings.NewReplacer("+", "PLUS", "-", "MINUS").Replace(string(*c.Lifecycle.StopSignal))
	return runtimeapi.Signal(runtimeapi.Signal_value["SIGNAL_"+name])
}
