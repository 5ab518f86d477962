package cri

import (
	"errors"
	"fmt"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// seccomp is the profile of a container: its own, the pod's, or the node's default. What is asked for and not known
// is an error, never a weaker profile.
func (r *Renderer) seccomp(pod *v1.Pod, c *v1.Container) (*runtimeapi.SecurityProfile, error) {
	var p *v1.SeccompProfile
	if s := pod.Spec.SecurityContext; s != nil {
		p = s.SeccompProfile
	}
	if c.SecurityContext != nil && c.SecurityContext.SeccompProfile != nil {
		p = c.SecurityContext.SeccompProfile
	}
	switch {
	case p == nil && !r.SeccompDefault, p != nil && p.Type == v1.SeccompProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	case p == nil, p.Type == v1.SeccompProfileTypeRuntimeDefault:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case p.Type != v1.SeccompProfileTypeLocalhost:
		return nil, fmt.Errorf("seccompProfile type %q is not known", p.Type)
	case p.LocalhostProfile == nil || *p.LocalhostProfile == "":
		return nil, errors.New("localhostProfile must be set if seccompProfile type is Localhost.")
	case !filepath.IsLocal(*p.LocalhostProfile):
		return nil, fmt.Errorf("seccompProfile localhostProfile %q must be a relative path without '..'", *p.LocalhostProfile)
	}
	file := filepath.Join(r.SeccompRoot, *p.LocalhostProfile)
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: file}, nil
}

func (r *Renderer) sandboxSeccomp() *runtimeapi.SecurityProfile {
	if r.SandboxSeccomp == "" {
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: r.SandboxSeccomp}
}

// AppArmor is the profile that a container asks for; nil when it asks for none.
func AppArmor(pod *v1.Pod, c *v1.Container) *v1.AppArmorProfile {
	if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
		return c.SecurityContext.AppArmorProfile
	}
	if s := pod.Spec.SecurityContext; s != nil {
		return s.AppArmorProfile
	}
	return nil
}

func apparmor(pod *v1.Pod, c *v1.Container) (*runtimeapi.SecurityProfile, error) {
	p := AppArmor(pod, c)
	switch {
	case p == nil:
		return nil, nil
	case p.Type == v1.AppArmorProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	case p.Type == v1.AppArmorProfileTypeRuntimeDefault:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case p.Type != v1.AppArmorProfileTypeLocalhost:
		return nil, fmt.Errorf("appArmorProfile type %q is not known", p.Type)
	case p.LocalhostProfile == nil || *p.LocalhostProfile == "":
		return nil, errors.New("appArmorProfile localhostProfile must be set when its type is Localhost")
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: *p.LocalhostProfile}, nil
}
