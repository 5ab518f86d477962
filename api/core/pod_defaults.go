package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// DefaultPod completes a pod.
func DefaultPod(p *corev1.Pod) {
	DefaultPodSpec(&p.Spec)
	if p.Spec.EnableServiceLinks == nil {
		p.Spec.EnableServiceLinks = ptr.To(corev1.DefaultEnableServiceLinks)
	}
	for i := range p.Spec.InitContainers {
		requestsFromLimits(&p.Spec.InitContainers[i].Resources)
	}
	for i := range p.Spec.Containers {
		requestsFromLimits(&p.Spec.Containers[i].Resources)
	}
	defaultPodLevelRequests(&p.Spec)
	if p.Spec.HostNetwork {
		portsOnHost(p.Spec.Containers)
		portsOnHost(p.Spec.InitContainers)
	}
	defaultPodIPs(&p.Status)
}

// defaultPodIPs keeps the single address and the list of addresses in step; the
// single one wins, as old kubelets know no other.
func defaultPodIPs(s *corev1.PodStatus) {
	switch {
	case s.PodIP != "" && (len(s.PodIPs) == 0 || s.PodIPs[0].IP != s.PodIP):
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	case s.PodIP == "" && len(s.PodIPs) > 0:
		s.PodIP = s.PodIPs[0].IP
	}
}

// DefaultPodTemplate completes the template inside a workload.
func DefaultPodTemplate(t *corev1.PodTemplateSpec) { DefaultPodSpec(&t.Spec) }

// DefaultPodSpec completes what pods and templates have in common.
func DefaultPodSpec(s *corev1.PodSpec) {
	setDefault(&s.RestartPolicy, corev1.RestartPolicyAlways)
	setDefault(&s.DNSPolicy, corev1.DNSClusterFirst)
	setDefault(&s.SchedulerName, corev1.DefaultSchedulerName)
	if s.SecurityContext == nil {
		s.SecurityContext = &corev1.PodSecurityContext{}
	}
	if s.TerminationGracePeriodSeconds == nil {
		s.TerminationGracePeriodSeconds = ptr.To(int64(corev1.DefaultTerminationGracePeriodSeconds))
	}
	SyncServiceAccount(s)
	for i := range s.Volumes {
		defaultVolume(&s.Volumes[i])
	}
	for i := range s.InitContainers {
		defaultContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		defaultContainer(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		c := corev1.Container(s.EphemeralContainers[i].EphemeralContainerCommon)
		defaultContainer(&c)
		s.EphemeralContainers[i].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
	}
	for i := range s.TopologySpreadConstraints {
		c := &s.TopologySpreadConstraints[i]
		if c.NodeAffinityPolicy == nil {
			c.NodeAffinityPolicy = ptr.To(corev1.NodeInclusionPolicyHonor)
		}
		if c.NodeTaintsPolicy == nil {
			c.NodeTaintsPolicy = ptr.To(corev1.NodeInclusionPolicyIgnore)
		}
	}
	integralQuantities(s.Overhead)
	if s.Resources != nil {
		integralQuantities(s.Resources.Limits)
		integralQuantities(s.Resources.Requests)
	}
}

// SyncServiceAccount keeps the deprecated serviceAccount equal to
// serviceAccountName; whoever sets the name after defaulting calls it again.
func SyncServiceAccount(s *corev1.PodSpec) {
	if s.ServiceAccountName == "" {
		s.ServiceAccountName = s.DeprecatedServiceAccount
	}
	s.DeprecatedServiceAccount = s.ServiceAccountName
}

// portsOnHost gives the containers of a host-network pod the host port they
// occupy anyway.
func portsOnHost(cs []corev1.Container) {
	for i := range cs {
		for j := range cs[i].Ports {
			if p := &cs[i].Ports[j]; p.HostPort == 0 {
				p.HostPort = p.ContainerPort
			}
		}
	}
}

func setDefault[T ~string](v *T, d T) {
	if *v == "" {
		*v = d
	}
}
