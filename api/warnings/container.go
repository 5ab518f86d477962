package warnings

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// containers warns of variables and ports that hide others and of parts of bytes.
func containers(s *corev1.PodSpec, spec string) (out []string) {
	ports := portBook{numbers: map[portNumber]string{}, named: map[string]string{}}
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		out = append(out, container(c, fmt.Sprintf("%s.initContainers[%d]", spec, i), ports, sidecar)...)
	}
	for i := range s.Containers {
		out = append(out, container(&s.Containers[i], fmt.Sprintf("%s.containers[%d]", spec, i), ports, true)...)
	}
	for i := range s.EphemeralContainers {
		c := corev1.Container(s.EphemeralContainers[i].EphemeralContainerCommon)
		out = append(out, container(&c, fmt.Sprintf("%s.ephemeralContainers[%d]", spec, i), ports, false)...)
	}
	return out
}

func container(c *corev1.Container, at string, ports portBook, stays bool) (out []string) {
	for _, l := range []struct {
		field string
		list  corev1.ResourceList
	}{{"limits", c.Resources.Limits}, {"requests", c.Resources.Requests}} {
		for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
			if q, ok := l.list[name]; ok {
				out = append(out, fraction(q, fmt.Sprintf("%s.resources.%s[%s]", at, l.field, name))...)
			}
		}
	}
	if len(c.Env) > 1 {
		out = append(out, hidden(c.Env, at)...)
	}
	if stays {
		out = append(out, ports.add(c.Ports, at)...)
	}
	return out
}

// hidden warns of variables that are set twice.
func hidden(env []corev1.EnvVar, at string) (out []string) {
	seen := make(map[string]bool, len(env))
	for i := range env {
		if name := env[i].Name; seen[name] {
			out = append(out, fmt.Sprintf("%s.env[%d]: hides previous definition of %q, which may be dropped when using apply", at, i, name))
		}
		seen[env[i].Name] = true
	}
	return out
}

type portNumber struct {
	number, host int32
	protocol     corev1.Protocol
	ip           string
}

// portBook knows which ports of a pod were named where.
type portBook struct {
	numbers map[portNumber]string
	named   map[string]string
}

func (b portBook) add(ports []corev1.ContainerPort, container string) (out []string) {
	if len(ports) == 0 {
		return nil
	}
	mine := map[string]bool{} // two equal names in one container are refused, not warned of
	for i, p := range ports {
		at := fmt.Sprintf("%s.ports[%d]", container, i)
		out = append(out, address(p.HostIP, at+".hostIP")...)
		number := portNumber{p.ContainerPort, p.HostPort, p.Protocol, p.HostIP}
		if first, ok := b.numbers[number]; ok {
			out = append(out, fmt.Sprintf("%s: duplicate port definition with %s", at, first))
		} else {
			b.numbers[number] = at
		}
		if p.Name == "" || mine[p.Name] {
			continue
		}
		mine[p.Name] = true
		if first, ok := b.named[p.Name]; ok {
			out = append(out, fmt.Sprintf("%s: duplicate port name %q with %s, services and probes that select ports by name will use %s", at, p.Name, first, first))
		} else {
			b.named[p.Name] = at
		}
	}
	return out
}
