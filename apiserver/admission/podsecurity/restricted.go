package podsecurity

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

func (p *pod) windows() bool { return p.spec.OS != nil && p.spec.OS.Name == corev1.Windows }

func volumeTypes(p *pod) string {
	var names []string
	for _, v := range p.spec.Volumes {
		s := v.VolumeSource
		if s.ConfigMap == nil && s.CSI == nil && s.DownwardAPI == nil && s.EmptyDir == nil && s.Ephemeral == nil &&
			s.PersistentVolumeClaim == nil && s.Projected == nil && s.Secret == nil && s.Image == nil && s != (corev1.VolumeSource{}) {
			names = append(names, v.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "restricted volume types (" + plural("volume", names) + " uses a restricted volume type)"
}

func privilegeEscalation(p *pod) string {
	if p.windows() {
		return ""
	}
	return p.must("allowPrivilegeEscalation != false", "must set securityContext.allowPrivilegeEscalation=false", func(c *container) bool {
		return c.sc.AllowPrivilegeEscalation == nil || *c.sc.AllowPrivilegeEscalation
	})
}

func dropCapabilities(p *pod) string {
	if p.windows() {
		return ""
	}
	if out := p.must("unrestricted capabilities", `must set securityContext.capabilities.drop=["ALL"]`, func(c *container) bool {
		return c.sc.Capabilities == nil || !slices.Contains(c.sc.Capabilities.Drop, "ALL")
	}); out != "" {
		return out
	}
	return p.must("unrestricted capabilities", `must not include other than "NET_BIND_SERVICE" in securityContext.capabilities.add`, func(c *container) bool {
		return slices.ContainsFunc(c.sc.Capabilities.Add, func(x corev1.Capability) bool { return x != "NET_BIND_SERVICE" })
	})
}

func runAsNonRoot(p *pod) string {
	if p.spec.HostUsers != nil && !*p.spec.HostUsers {
		return ""
	}
	if out := p.must("runAsNonRoot != true", "must not set securityContext.runAsNonRoot=false", func(c *container) bool {
		return c.sc.RunAsNonRoot != nil && !*c.sc.RunAsNonRoot
	}); out != "" || isTrue(p.sc.RunAsNonRoot) {
		return out
	}
	names := p.where(func(c *container) bool { return c.sc.RunAsNonRoot == nil })
	if len(names) == 0 {
		return ""
	}
	return "runAsNonRoot != true (pod or " + plural("container", names) + " must set securityContext.runAsNonRoot=true)"
}

func runAsUser(p *pod) string {
	if p.spec.HostUsers != nil && !*p.spec.HostUsers {
		return ""
	}
	root := func(u *int64) bool { return u != nil && *u == 0 }
	if root(p.sc.RunAsUser) {
		return "runAsUser=0 (pod must not set runAsUser=0)"
	}
	return p.must("runAsUser=0", "must not set runAsUser=0", func(c *container) bool { return root(c.sc.RunAsUser) })
}

func seccompRequired(p *pod) string {
	if p.windows() || p.sc.SeccompProfile != nil {
		return ""
	}
	names := p.where(func(c *container) bool { return c.sc.SeccompProfile == nil })
	if len(names) == 0 {
		return ""
	}
	return "seccompProfile (pod or " + plural("container", names) + ` must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`
}
