package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// podContext is what a container's rules must know of the pod around it.
type podContext struct {
	spec    *corev1.PodSpec
	volumes map[string]*corev1.Volume
	claims  map[string]bool
	names   map[string]bool // of containers met so far
}

func newPodContext(s *corev1.PodSpec) *podContext {
	c := &podContext{spec: s, names: make(map[string]bool, len(s.Containers)+len(s.InitContainers))}
	if len(s.Volumes) > 0 {
		c.volumes = make(map[string]*corev1.Volume, len(s.Volumes))
		for i := range s.Volumes {
			c.volumes[s.Volumes[i].Name] = &s.Volumes[i]
		}
	}
	for _, r := range s.ResourceClaims {
		if c.claims == nil {
			c.claims = make(map[string]bool)
		}
		c.claims[r.Name] = true
	}
	return c
}

func (pc *podContext) containers(path *field.Path) (errs field.ErrorList) {
	if len(pc.spec.Containers) == 0 {
		return field.ErrorList{field.Required(path, "")}
	}
	var ports hostPorts
	for i := range pc.spec.Containers {
		c, p := &pc.spec.Containers[i], path.Index(i)
		errs = append(errs, pc.container(c, p)...)
		errs = append(errs, pc.lifeOf(c, p)...)
		errs = append(errs, validateRestartRules(c, p)...)
		errs = append(errs, ports.add(c.Ports, p.Child("ports"))...)
	}
	return errs
}

func (pc *podContext) initContainers(path *field.Path) (errs field.ErrorList) {
	for i := range pc.spec.InitContainers {
		c, p := &pc.spec.InitContainers[i], path.Index(i)
		errs = append(errs, pc.container(c, p)...)
		errs = append(errs, validateRestartRules(c, p)...)
		var ports hostPorts
		errs = append(errs, ports.add(c.Ports, p.Child("ports"))...)
		if IsSidecar(c) {
			errs = append(errs, pc.lifeOf(c, p)...)
			continue
		}
		const why = "may not be set for init containers without restartPolicy=Always"
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"lifecycle", c.Lifecycle != nil}, {"livenessProbe", c.LivenessProbe != nil},
			{"readinessProbe", c.ReadinessProbe != nil}, {"startupProbe", c.StartupProbe != nil},
			{"resizePolicy", len(c.ResizePolicy) > 0},
		} {
			if f.set {
				errs = append(errs, field.Forbidden(p.Child(f.name), why))
			}
		}
	}
	return errs
}

// lifeOf judges what only long-running containers have.
func (pc *podContext) lifeOf(c *corev1.Container, path *field.Path) field.ErrorList {
	errs := validateLifecycle(c.Lifecycle, pc.spec.TerminationGracePeriodSeconds, pc.spec.OS, path.Child("lifecycle"))
	errs = append(errs, validateProbe(c.LivenessProbe, liveness, path.Child("livenessProbe"))...)
	errs = append(errs, validateProbe(c.ReadinessProbe, readiness, path.Child("readinessProbe"))...)
	return append(errs, validateProbe(c.StartupProbe, startup, path.Child("startupProbe"))...)
}

// container judges what all kinds of containers share.
func (pc *podContext) container(c *corev1.Container, path *field.Path) (errs field.ErrorList) {
	switch name := path.Child("name"); {
	case c.Name == "":
		errs = append(errs, field.Required(name, ""))
	case pc.names[c.Name]:
		errs = append(errs, field.Duplicate(name, c.Name))
	default:
		errs = checkLabel(errs, c.Name, name)
	}
	pc.names[c.Name] = true
	errs = validateImage(errs, c.Image, path.Child("image"))
	errs = requireOneOf(errs, c.TerminationMessagePolicy, path.Child("terminationMessagePolicy"),
		corev1.TerminationMessageFallbackToLogsOnError, corev1.TerminationMessageReadFile)
	errs = requireOneOf(errs, c.ImagePullPolicy, path.Child("imagePullPolicy"), corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	errs = append(errs, validateContainerPorts(c.Ports, path.Child("ports"))...)
	errs = append(errs, pc.env(c, path)...)
	errs = append(errs, pc.mounts(c, path)...)
	errs = append(errs, validateResourceRequirements(&c.Resources, path.Child("resources"), pc.claims)...)
	errs = append(errs, validateResizePolicy(c, pc.spec.RestartPolicy, path.Child("resizePolicy"))...)
	return append(errs, validateSecurityContext(c.SecurityContext, pc.spec, path.Child("securityContext"))...)
}

func validateImage(errs field.ErrorList, image string, path *field.Path) field.ErrorList {
	if image == "" {
		return append(errs, field.Required(path, ""))
	}
	if strings.TrimSpace(image) != image {
		return append(errs, field.Invalid(path, image, "must not have leading or trailing whitespace"))
	}
	return errs
}

func validateContainerPorts(ports []corev1.ContainerPort, path *field.Path) (errs field.ErrorList) {
	seen := rules.Seen[string]{}
	for i := range ports {
		p, at := &ports[i], path.Index(i)
		if p.Name != "" {
			if msgs := validation.IsValidPortName(p.Name); len(msgs) > 0 {
				for _, msg := range msgs {
					errs = append(errs, field.Invalid(at.Child("name"), p.Name, msg))
				}
			} else if seen.Again(p.Name) {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			}
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = checkPortNumber(errs, p.ContainerPort, at.Child("containerPort"))
		}
		if p.HostPort != 0 {
			errs = checkPortNumber(errs, p.HostPort, at.Child("hostPort"))
		}
		errs = requireOneOf(errs, p.Protocol, at.Child("protocol"), corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
		if p.HostIP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(at.Child("hostIP"), p.HostIP, false, nil)...)
		}
	}
	return errs
}

func checkPortNumber(errs field.ErrorList, port int32, path *field.Path) field.ErrorList {
	if port >= 1 && port <= 65535 {
		return errs
	}
	return append(errs, field.Invalid(path, port, validation.InclusiveRangeError(1, 65535)))
}

// hostPorts finds two containers of a pod that want the same port of the host.
type hostPorts map[string]bool

func (h *hostPorts) add(ports []corev1.ContainerPort, path *field.Path) (errs field.ErrorList) {
	for i := range ports {
		p := &ports[i]
		if p.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
		if (*h)[key] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("hostPort"), key))
		}
		if *h == nil {
			*h = make(hostPorts)
		}
		(*h)[key] = true
	}
	return errs
}

func validateResizePolicy(c *corev1.Container, restart corev1.RestartPolicy, path *field.Path) (errs field.ErrorList) {
	seen := map[corev1.ResourceName]bool{}
	for i, r := range c.ResizePolicy {
		at := path.Index(i)
		if seen[r.ResourceName] {
			errs = append(errs, field.Duplicate(at, r.ResourceName))
		}
		seen[r.ResourceName] = true
		errs = requireOneOf(errs, r.ResourceName, at.Child("resourceName"), corev1.ResourceCPU, corev1.ResourceMemory)
		errs = requireOneOf(errs, r.RestartPolicy, at.Child("restartPolicy"), corev1.NotRequired, corev1.RestartContainer)
		if restart == corev1.RestartPolicyNever && r.RestartPolicy == corev1.RestartContainer {
			errs = append(errs, field.Invalid(at.Child("restartPolicy"), r.RestartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
		}
	}
	return errs
}

// validateRestartRules judges a container's own restart policy.
func validateRestartRules(c *corev1.Container, path *field.Path) (errs field.ErrorList) {
	if c.RestartPolicy != nil {
		errs = oneOf(errs, *c.RestartPolicy, path.Child("restartPolicy"), corev1.ContainerRestartPolicyAlways,
			corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)
	}
	rules := path.Child("restartPolicyRules")
	if len(c.RestartPolicyRules) > 0 && c.RestartPolicy == nil {
		errs = append(errs, field.Required(path.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
	}
	if len(c.RestartPolicyRules) > 20 {
		errs = append(errs, field.TooMany(rules, len(c.RestartPolicyRules), 20))
	}
	for i, r := range c.RestartPolicyRules {
		at := rules.Index(i)
		errs = requireOneOf(errs, r.Action, at.Child("action"), corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)
		if r.ExitCodes == nil {
			errs = append(errs, field.Required(at.Child("exitCodes"), "must be specified"))
			continue
		}
		errs = requireOneOf(errs, r.ExitCodes.Operator, at.Child("exitCodes", "operator"),
			corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)
		if len(r.ExitCodes.Values) > 255 {
			errs = append(errs, field.TooMany(at.Child("exitCodes", "values"), len(r.ExitCodes.Values), 255))
		}
	}
	return errs
}
