package core

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// DefaultService completes a service.
func DefaultService(s *corev1.Service) {
	sp := &s.Spec
	setDefault(&sp.SessionAffinity, corev1.ServiceAffinityNone)
	setDefault(&sp.Type, corev1.ServiceTypeClusterIP)
	if sp.SessionAffinity == corev1.ServiceAffinityNone {
		sp.SessionAffinityConfig = nil
	}
	if sp.SessionAffinity == corev1.ServiceAffinityClientIP && (sp.SessionAffinityConfig == nil ||
		sp.SessionAffinityConfig.ClientIP == nil || sp.SessionAffinityConfig.ClientIP.TimeoutSeconds == nil) {
		sp.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To(corev1.DefaultClientIPServiceAffinitySeconds)}}
	}
	for i := range sp.Ports {
		p := &sp.Ports[i]
		setDefault(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if HasNodePorts(s) || len(sp.ExternalIPs) > 0 && sp.Type == corev1.ServiceTypeClusterIP {
		setDefault(&sp.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if sp.Type != corev1.ServiceTypeExternalName {
		setPtr(&sp.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if sp.Type == corev1.ServiceTypeLoadBalancer {
		setPtr(&sp.AllocateLoadBalancerNodePorts, true)
		for i := range s.Status.LoadBalancer.Ingress {
			if in := &s.Status.LoadBalancer.Ingress[i]; in.IP != "" {
				setPtr(&in.IPMode, corev1.LoadBalancerIPModeVIP)
			}
		}
	}
	defaultClusterIPs(sp)
}

// defaultClusterIPs mirrors clusterIP into clusterIPs.
func defaultClusterIPs(sp *corev1.ServiceSpec) {
	if sp.ClusterIP != "" && len(sp.ClusterIPs) == 0 {
		sp.ClusterIPs = []string{sp.ClusterIP}
	}
}

// DefaultServiceFamilies settles the address families of a new service on a
// cluster whose service range is of family. It is not part of DefaultService, as
// only the server knows the cluster's families.
func DefaultServiceFamilies(s *corev1.Service, family corev1.IPFamily) {
	sp := &s.Spec
	if sp.Type == corev1.ServiceTypeExternalName {
		return
	}
	headlessWithoutSelector := sp.ClusterIP == corev1.ClusterIPNone && len(sp.Selector) == 0
	if sp.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		if headlessWithoutSelector {
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		if len(sp.ClusterIPs) == 2 || len(sp.IPFamilies) == 2 {
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		sp.IPFamilyPolicy = &policy
	}
	if len(sp.IPFamilies) == 0 {
		if ip, err := netip.ParseAddr(sp.ClusterIP); err == nil && ip.Is6() {
			family = corev1.IPv6Protocol
		}
		sp.IPFamilies = []corev1.IPFamily{family}
		if headlessWithoutSelector && *sp.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
			sp.IPFamilies = append(sp.IPFamilies, otherFamily(family))
		}
	}
}

func otherFamily(f corev1.IPFamily) corev1.IPFamily {
	if f == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

// HasNodePorts tells whether the type opens ports on every node.
func HasNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// HasClusterIP tells whether the type has an address of its own: not headless,
// not an external name.
func HasClusterIP(s *corev1.Service) bool {
	return s.Spec.Type != corev1.ServiceTypeExternalName && s.Spec.ClusterIP != corev1.ClusterIPNone
}

// PrepareServiceUpdate keeps the status and what the server gave out, and drops
// what a change of type leaves behind.
func PrepareServiceUpdate(s, old *corev1.Service) {
	s.Status = *old.Status.DeepCopy()
	keepAllocated(s, old)
	dropLeftovers(s, old)
}

// keepAllocated fills in addresses and ports that a client left out of an update.
func keepAllocated(s, old *corev1.Service) {
	is, was := &s.Spec, &old.Spec
	if is.Type != corev1.ServiceTypeExternalName && was.Type != corev1.ServiceTypeExternalName {
		if is.ClusterIP == "" && len(is.ClusterIPs) == 0 {
			is.ClusterIP, is.ClusterIPs = was.ClusterIP, append([]string(nil), was.ClusterIPs...)
		}
		if is.IPFamilyPolicy == nil {
			is.IPFamilyPolicy = was.IPFamilyPolicy
		}
		if len(is.IPFamilies) == 0 {
			is.IPFamilies = append([]corev1.IPFamily(nil), was.IPFamilies...)
		}
	}
	if is.ClusterIP != was.ClusterIP && len(is.ClusterIPs) > 0 && len(was.ClusterIPs) > 0 && is.ClusterIPs[0] == was.ClusterIPs[0] {
		is.ClusterIPs = nil // an old client changed clusterIP and kept the list it does not know
		defaultClusterIPs(is)
	}
	if HasNodePorts(s) && HasNodePorts(old) {
		taken := map[int32]bool{}
		for _, p := range is.Ports {
			taken[p.NodePort] = true
		}
		for i := range is.Ports {
			p := &is.Ports[i]
			for _, o := range was.Ports {
				if p.NodePort == 0 && o.Port == p.Port && o.Protocol == p.Protocol && !taken[o.NodePort] {
					p.NodePort = o.NodePort
				}
			}
		}
	}
	if needsHealthPort(s) && needsHealthPort(old) && is.HealthCheckNodePort == 0 {
		is.HealthCheckNodePort = was.HealthCheckNodePort
	}
}

func needsHealthPort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// NeedsHealthPort tells whether the service has a health check port on every node.
func NeedsHealthPort(s *corev1.Service) bool { return needsHealthPort(s) }

// dropLeftovers clears what the old type needed, where the client left it as it was.
func dropLeftovers(s, old *corev1.Service) {
	is, was := &s.Spec, &old.Spec
	if is.Type == corev1.ServiceTypeExternalName && was.Type != corev1.ServiceTypeExternalName {
		if is.ClusterIP == was.ClusterIP {
			is.ClusterIP, is.ClusterIPs = "", nil
		}
		is.IPFamilies, is.IPFamilyPolicy = nil, nil
		is.InternalTrafficPolicy = nil
	}
	if HasNodePorts(old) && !HasNodePorts(s) {
		for i := range is.Ports {
			for _, o := range was.Ports {
				if is.Ports[i].NodePort == o.NodePort {
					is.Ports[i].NodePort = 0
				}
			}
		}
		if is.ExternalTrafficPolicy == was.ExternalTrafficPolicy && len(is.ExternalIPs) == 0 {
			is.ExternalTrafficPolicy = ""
		}
	}
	if needsHealthPort(old) && !needsHealthPort(s) && is.HealthCheckNodePort == was.HealthCheckNodePort {
		is.HealthCheckNodePort = 0
	}
	if was.Type == corev1.ServiceTypeLoadBalancer && is.Type != corev1.ServiceTypeLoadBalancer {
		is.AllocateLoadBalancerNodePorts = nil
		if ptr.Equal(is.LoadBalancerClass, was.LoadBalancerClass) {
			is.LoadBalancerClass = nil
		}
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
}

// ServiceIPs are the addresses that the service holds.
func ServiceIPs(s *corev1.Service) (out []string) {
	if !HasClusterIP(s) {
		return nil
	}
	for _, ip := range s.Spec.ClusterIPs {
		if ip != "" && ip != corev1.ClusterIPNone {
			out = append(out, ip)
		}
	}
	if len(out) == 0 && s.Spec.ClusterIP != "" {
		out = append(out, s.Spec.ClusterIP)
	}
	return out
}

// ServiceNodePorts are the node ports that the service holds, each once.
func ServiceNodePorts(s *corev1.Service) (out []int32) {
	add := func(port int32) {
		for _, p := range out {
			if p == port {
				return
			}
		}
		if port != 0 {
			out = append(out, port)
		}
	}
	for i := range s.Spec.Ports {
		add(s.Spec.Ports[i].NodePort)
	}
	add(s.Spec.HealthCheckNodePort)
	return out
}
