package cri

import (
	"fmt"
	"strconv"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
)

// Renderer turns pods into runtime configurations for one node. It has no state.
type Renderer struct {
	DNS            DNS
	LogRoot        string
	SeccompRoot    string
	SeccompDefault bool
	// SandboxSeccomp is the file of a profile made for the sandbox's own process; empty for the runtime's default.
	SandboxSeccomp string
	MemoryCapacity int64
	UnifiedCgroups bool
	CgroupParent   func(*v1.Pod) string
	// UserNS is the user namespace of a pod that wants one of its own, else nil.
	UserNS func(*v1.Pod) *runtimeapi.UserNamespace
}

// Sandbox renders the sandbox of a pod.
func (r *Renderer) Sandbox(pod *v1.Pod, attempt uint32) *runtimeapi.PodSandboxConfig {
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: pod.Name, Uid: string(pod.UID), Namespace: pod.Namespace, Attempt: attempt},
		Labels:       PodLabels(pod),
		Annotations:  sandboxAnnotations(pod),
		LogDirectory: PodLogDir(r.LogRoot, pod),
		DnsConfig:    r.DNS.Config(pod),
		PortMappings: portMappings(pod),
		Linux:        r.sandboxLinux(pod),
	}
	if !pod.Spec.HostNetwork {
		cfg.Hostname, _ = Hostname(pod, r.DNS.Domain)
	}
	return cfg
}

func sandboxAnnotations(pod *v1.Pod) map[string]string {
	out := fitted(pod.Annotations, bounds.SandboxAnnotations)
	if out[annConfigSource] == "" {
		out[annConfigSource] = "api"
		if s := pod.Annotations[annConfigSource]; s != "" && len(s) < 64 {
			out[annConfigSource] = s
		}
	}
	return out
}

func portMappings(pod *v1.Pod) []*runtimeapi.PortMapping {
	if pod.Spec.HostNetwork {
		return nil
	}
	var out []*runtimeapi.PortMapping
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if !Restartable(&c) && len(pod.Spec.InitContainers) > 0 && isInit(pod, c.Name) {
				continue
			}
			for _, p := range c.Ports {
				if p.HostPort == 0 {
					continue // the runtime has no use for a port that is not mapped
				}
				out = append(out, &runtimeapi.PortMapping{Protocol: protocol(p.Protocol), ContainerPort: p.ContainerPort, HostPort: p.HostPort, HostIp: p.HostIP})
			}
		}
	}
	return out
}

func protocol(p v1.Protocol) runtimeapi.Protocol {
	switch p {
	case v1.ProtocolUDP:
		return runtimeapi.Protocol_UDP
	case v1.ProtocolSCTP:
		return runtimeapi.Protocol_SCTP
	}
	return runtimeapi.Protocol_TCP
}

// Restartable tells whether an init container is a sidecar.
func Restartable(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

func isInit(pod *v1.Pod, name string) bool {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return true
		}
	}
	return false
}

func (r *Renderer) sandboxLinux(pod *v1.Pod) *runtimeapi.LinuxPodSandboxConfig {
	sec := &runtimeapi.LinuxSandboxSecurityContext{
		NamespaceOptions: r.namespaces(pod, ""),
		Seccomp:          r.sandboxSeccomp(),
		SelinuxOptions:   selinux(pod, nil),
	}
	sec.SupplementalGroups, sec.SupplementalGroupsPolicy = podGroups(pod)
	out := &runtimeapi.LinuxPodSandboxConfig{CgroupParent: r.CgroupParent(pod), SecurityContext: sec}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			sec.Privileged = sec.Privileged || Privileged(&list[i])
		}
	}
	s := pod.Spec.SecurityContext
	if s == nil {
		return out
	}
	// Only together: a group without a user is refused by runtimes.
	if s.RunAsUser != nil {
		sec.RunAsUser, sec.RunAsGroup = int64Value(s.RunAsUser), int64Value(s.RunAsGroup)
	}
	if len(s.Sysctls) > 0 {
		out.Sysctls = map[string]string{}
		for _, c := range s.Sysctls {
			out.Sysctls[c.Name] = c.Value
		}
	}
	return out
}

// ContainerInput is what a container's configuration needs besides its pod.
type ContainerInput struct {
	Attempt     uint32
	ImageRef    string // what the image resolved to
	User        ImageUser
	Env         []*runtimeapi.KeyValue
	Vars        map[string]string // for $(VAR) in command and args
	Mounts      []*runtimeapi.Mount
	TermLogHost string // host path of the termination message
	TargetID    string // of an ephemeral container
}

// Container renders one container. What it asks for and cannot have is an error.
func (r *Renderer) Container(pod *v1.Pod, c *v1.Container, in ContainerInput) (*runtimeapi.ContainerConfig, error) {
	security, err := r.containerSecurity(pod, c, in)
	if err != nil {
		return nil, err
	}
	command, args, err := commandLine(c, in)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ContainerConfig{
		Metadata:    &runtimeapi.ContainerMetadata{Name: c.Name, Attempt: in.Attempt},
		Image:       &runtimeapi.ImageSpec{Image: in.ImageRef, UserSpecifiedImage: c.Image},
		Command:     command,
		Args:        args,
		WorkingDir:  c.WorkingDir,
		Envs:        in.Env,
		Mounts:      in.Mounts,
		Labels:      containerLabels(pod, c.Name),
		Annotations: containerAnnotations(pod, c, in),
		LogPath:     ContainerLogPath(c.Name, in.Attempt),
		Stdin:       c.Stdin,
		StdinOnce:   c.StdinOnce,
		Tty:         c.TTY,
		StopSignal:  StopSignal(c),
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources:       r.containerResources(pod, c),
			SecurityContext: security,
		},
	}, nil
}

// commandLine expands what the container is started with. It shares the kernel's room with the environment.
func commandLine(c *v1.Container, in ContainerInput) (command, args []string, err error) {
	room := newRoom(bounds.Environment)
	for _, e := range in.Env {
		if err := room.take(len(e.Key) + len(e.Value) + 2); err != nil {
			return nil, nil, err
		}
	}
	expand := func(list []string) []string {
		out := make([]string, 0, len(list))
		for _, s := range list {
			if err == nil {
				s, err = room.expand(s, func(name string) (string, bool) { v, ok := in.Vars[name]; return v, ok })
			}
			if err == nil {
				err = room.take(1)
			}
			out = append(out, s)
		}
		return out
	}
	command, args = expand(c.Command), expand(c.Args)
	if err != nil {
		return nil, nil, fmt.Errorf("command and args: %w", err)
	}
	return command, args, nil
}

func containerAnnotations(pod *v1.Pod, c *v1.Container, in ContainerInput) map[string]string {
	out := map[string]string{
		annHash:         ContainerHash(c),
		annRestartCount: strconv.FormatUint(uint64(in.Attempt), 10),
		annTermPath:     c.TerminationMessagePath,
		annTermPolicy:   string(c.TerminationMessagePolicy),
		annTermHostPath: in.TermLogHost,
	}
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		out[annGrace] = fmt.Sprint(*g)
	}
	return out
}
