package cri

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestSecurity writes down what becomes of every rule of a security context: at the pod, at the container, in every
// sort of container. What is asked for and cannot be had is refused.
func TestSecurity(t *testing.T) {
	local := func(s string) *string { return &s }
	cases := []struct {
		name string
		pod  *v1.PodSecurityContext
		own  *v1.SecurityContext
	}{
		{name: "nothing"},
		{name: "seccomp of the pod: unconfined", pod: &v1.PodSecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "Unconfined"}}},
		{name: "seccomp of the pod: local", pod: &v1.PodSecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "Localhost", LocalhostProfile: local("a/b.json")}}},
		{name: "seccomp overridden", pod: &v1.PodSecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "Unconfined"}}, own: &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "RuntimeDefault"}}},
		{name: "seccomp: local without a name", own: &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "Localhost"}}},
		{name: "seccomp: local with an empty name", own: &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "Localhost", LocalhostProfile: local("")}}},
		{name: "seccomp: local outside", own: &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "Localhost", LocalhostProfile: local("../x")}}},
		{name: "seccomp: unknown", own: &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: "Strict"}}},
		{name: "apparmor of the pod", pod: &v1.PodSecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: "Localhost", LocalhostProfile: local("strict")}}},
		{name: "apparmor overridden", pod: &v1.PodSecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: "Unconfined"}}, own: &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: "RuntimeDefault"}}},
		{name: "apparmor: local without a name", own: &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: "Localhost"}}},
		{name: "apparmor: unknown", own: &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: "Strict"}}},
		{name: "selinux of the pod", pod: &v1.PodSecurityContext{SELinuxOptions: &v1.SELinuxOptions{Level: "s0:c1"}}},
		{name: "selinux of the pod, container with other rules", pod: &v1.PodSecurityContext{SELinuxOptions: &v1.SELinuxOptions{Level: "s0:c1"}}, own: &v1.SecurityContext{}},
		{name: "selinux overridden", pod: &v1.PodSecurityContext{SELinuxOptions: &v1.SELinuxOptions{Level: "s0:c1"}}, own: &v1.SecurityContext{SELinuxOptions: &v1.SELinuxOptions{Level: "s0:c2"}}},
		{name: "proc: default", own: &v1.SecurityContext{ProcMount: new(v1.DefaultProcMount)}},
		{name: "proc: unmasked", own: &v1.SecurityContext{ProcMount: new(v1.UnmaskedProcMount)}},
		{name: "proc: unknown", own: &v1.SecurityContext{ProcMount: new(v1.ProcMountType("Half"))}},
		{name: "read-only root", own: &v1.SecurityContext{ReadOnlyRootFilesystem: new(true)}},
		{name: "no escalation", own: &v1.SecurityContext{AllowPrivilegeEscalation: new(false)}},
		{name: "privileged", own: &v1.SecurityContext{Privileged: new(true)}},
		{name: "capabilities", own: &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"NET_ADMIN"}, Drop: []v1.Capability{"ALL"}}}},
		{name: "groups", pod: &v1.PodSecurityContext{RunAsGroup: new(int64(7)), FSGroup: new(int64(8)), SupplementalGroups: []int64{9}}},
		{name: "groups: strict", pod: &v1.PodSecurityContext{SupplementalGroups: []int64{9}, SupplementalGroupsPolicy: new(v1.SupplementalGroupsPolicyStrict)}},
		{name: "windows: host process (no rule of this system)", own: &v1.SecurityContext{WindowsOptions: &v1.WindowsSecurityContextOptions{HostProcess: new(true)}}},
	}
	var b strings.Builder
	for _, c := range cases {
		answers := map[string]bool{}
		for _, kind := range []string{"container", "init", "sidecar", "ephemeral"} {
			answers[rendered(placed(kind, c.pod, c.own))] = true
		}
		if len(answers) != 1 {
			t.Errorf("%s: the sort of container makes a difference: %v", c.name, answers)
		}
		for a := range answers {
			fmt.Fprintf(&b, "%s\n  %s\n", c.name, a)
		}
	}
	golden(t, "security", b.String())
}

func rendered(pod *v1.Pod, c *v1.Container) string {
	r := &Renderer{SeccompDefault: true, SeccompRoot: "/seccomp"}
	cfg, err := r.Container(pod, c, ContainerInput{})
	if err != nil {
		return "refused: " + err.Error()
	}
	s := cfg.Linux.SecurityContext
	out := []string{"seccomp " + s.Seccomp.ProfileType.String() + s.Seccomp.LocalhostRef}
	add := func(yes bool, text string) {
		if yes {
			out = append(out, text)
		}
	}
	add(s.Apparmor != nil, fmt.Sprintf("apparmor %v%s", s.Apparmor.GetProfileType(), s.Apparmor.GetLocalhostRef()))
	add(s.SelinuxOptions != nil, "selinux "+s.SelinuxOptions.GetLevel())
	add(len(s.MaskedPaths) == 0, "proc unmasked")
	add(s.ReadonlyRootfs, "read-only root")
	add(s.NoNewPrivs, "no new privileges")
	add(s.Privileged, "privileged")
	add(s.Capabilities != nil, fmt.Sprintf("capabilities +%v -%v", s.Capabilities.GetAddCapabilities(), s.Capabilities.GetDropCapabilities()))
	add(s.RunAsGroup != nil, fmt.Sprintf("group %d", s.RunAsGroup.GetValue()))
	add(len(s.SupplementalGroups) > 0, fmt.Sprintf("groups %v %v", s.SupplementalGroups, s.SupplementalGroupsPolicy))
	return strings.Join(out, ", ")
}
