package core

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/internal/lenient"
)

// ValidateService judges a new service before addresses are given out.
func ValidateService(s *corev1.Service) field.ErrorList {
	path := field.NewPath("spec")
	sp := &s.Spec
	errs := requireOneOf(nil, sp.Type, path.Child("type"), corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
		corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)
	if len(sp.Ports) == 0 && sp.ClusterIP != corev1.ClusterIPNone && sp.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(path.Child("ports"), ""))
	}
	errs = append(errs, validateServiceType(s, path)...)
	errs = append(errs, validateServicePorts(s, path.Child("ports"))...)
	errs = append(errs, ValidateLabels(sp.Selector, path.Child("selector"))...)
	errs = append(errs, validateAffinityOfClients(sp, path)...)
	errs = append(errs, validateClusterIPs(sp, path)...)
	errs = append(errs, validateTraffic(s, path)...)
	for i, ip := range sp.ExternalIPs {
		at := path.Child("externalIPs").Index(i)
		if found := validation.IsValidIPForLegacyField(at, ip, false, nil); len(found) > 0 {
			errs = append(errs, found...)
		} else {
			errs = append(errs, validateReachable(ip, at)...)
		}
	}
	return errs
}

func validateServiceType(s *corev1.Service, path *field.Path) (errs field.ErrorList) {
	sp := &s.Spec
	switch sp.Type {
	case corev1.ServiceTypeLoadBalancer:
		if sp.ClusterIP == corev1.ClusterIPNone {
			errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), sp.ClusterIP, "may not be set to 'None' for LoadBalancer services"))
		}
		if sp.AllocateLoadBalancerNodePorts == nil {
			errs = append(errs, field.Required(path.Child("allocateLoadBalancerNodePorts"), ""))
		}
	case corev1.ServiceTypeNodePort:
		if sp.ClusterIP == corev1.ClusterIPNone {
			errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), sp.ClusterIP, "may not be set to 'None' for NodePort services"))
		}
	case corev1.ServiceTypeExternalName:
		if len(sp.ClusterIPs) > 0 || sp.ClusterIP != "" {
			errs = append(errs, field.Forbidden(path.Child("clusterIPs"), "may not be set when `type` is 'ExternalName'"))
		}
		if len(sp.IPFamilies) > 0 {
			errs = append(errs, field.Forbidden(path.Child("ipFamilies"), "may not be set when `type` is 'ExternalName'"))
		}
		if sp.IPFamilyPolicy != nil {
			errs = append(errs, field.Forbidden(path.Child("ipFamilyPolicy"), "may not be set when `type` is 'ExternalName'"))
		}
		if name := strings.TrimSuffix(sp.ExternalName, "."); name == "" {
			errs = append(errs, field.Required(path.Child("externalName"), ""))
		} else {
			errs = checkSubdomain(errs, name, path.Child("externalName"))
		}
	}
	if sp.Type != corev1.ServiceTypeLoadBalancer {
		if sp.AllocateLoadBalancerNodePorts != nil {
			errs = append(errs, field.Forbidden(path.Child("allocateLoadBalancerNodePorts"), "may only be used when `type` is 'LoadBalancer'"))
		}
		if sp.LoadBalancerClass != nil {
			errs = append(errs, field.Forbidden(path.Child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'"))
		}
		if len(sp.LoadBalancerSourceRanges) > 0 {
			errs = append(errs, field.Forbidden(path.Child("LoadBalancerSourceRanges"), "may only be used when `type` is 'LoadBalancer'"))
		}
	} else if sp.LoadBalancerClass != nil {
		errs = checkQualified(errs, *sp.LoadBalancerClass, path.Child("loadBalancerClass"))
	}
	for i, r := range sp.LoadBalancerSourceRanges {
		errs = append(errs, validation.IsValidCIDRForLegacyField(path.Child("LoadBalancerSourceRanges").Index(i), strings.TrimSpace(r), false, nil)...)
	}
	return errs
}

func validateServicePorts(s *corev1.Service, path *field.Path) (errs field.ErrorList) {
	twins := portTwins{rules.Seen[string]{}, rules.Seen[corev1.ServicePort]{}, rules.Seen[corev1.ServicePort]{}}
	for i := range s.Spec.Ports {
		p, at := &s.Spec.Ports[i], path.Index(i)
		if p.Name == "" && len(s.Spec.Ports) > 1 {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else if p.Name != "" {
			errs = checkLabel(errs, p.Name, at.Child("name"))
		}
		errs = checkPortNumber(errs, p.Port, at.Child("port"))
		errs = requireOneOf(errs, p.Protocol, at.Child("protocol"), corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
		errs = append(errs, validatePort(p.TargetPort, at.Child("targetPort"))...)
		if p.AppProtocol != nil {
			errs = checkQualified(errs, *p.AppProtocol, at.Child("appProtocol"))
		}
		if p.NodePort < 0 || p.NodePort > 65535 {
			errs = append(errs, field.Invalid(at.Child("nodePort"), p.NodePort, validation.InclusiveRangeError(1, 65535)))
		}
		if p.NodePort != 0 && !HasNodePorts(s) {
			errs = append(errs, field.Forbidden(at.Child("nodePort"), fmt.Sprintf("may not be used when `type` is '%s'", s.Spec.Type)))
		}
		errs = append(errs, twins.check(p, at)...)
	}
	return errs
}

// portTwins: a port name, a protocol and number, and a node port with its protocol
// appear once.
type portTwins struct {
	names            rules.Seen[string]
	ports, nodePorts rules.Seen[corev1.ServicePort]
}

func (t *portTwins) check(p *corev1.ServicePort, at *field.Path) (errs field.ErrorList) {
	if p.Name != "" && t.names.Again(p.Name) {
		errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
	}
	if p.Port != 0 && t.ports.Again(corev1.ServicePort{Protocol: p.Protocol, Port: p.Port}) {
		errs = append(errs, field.Duplicate(at, corev1.ServicePort{Protocol: p.Protocol, Port: p.Port}))
	}
	if p.NodePort != 0 && t.nodePorts.Again(corev1.ServicePort{Protocol: p.Protocol, NodePort: p.NodePort}) {
		errs = append(errs, field.Duplicate(at.Child("nodePort"), corev1.ServicePort{Protocol: p.Protocol, NodePort: p.NodePort}))
	}
	return errs
}

const maxAffinitySeconds = 86400

func validateAffinityOfClients(sp *corev1.ServiceSpec, path *field.Path) (errs field.ErrorList) {
	errs = requireOneOf(errs, sp.SessionAffinity, path.Child("sessionAffinity"), corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	at := path.Child("sessionAffinityConfig")
	switch {
	case sp.SessionAffinity == corev1.ServiceAffinityNone && sp.SessionAffinityConfig != nil:
		errs = append(errs, field.Forbidden(at, fmt.Sprintf("must not be set when session affinity is %s", corev1.ServiceAffinityNone)))
	case sp.SessionAffinity == corev1.ServiceAffinityClientIP:
		at = at.Child("clientIP", "timeoutSeconds")
		if c := sp.SessionAffinityConfig; c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			errs = append(errs, field.Required(at, fmt.Sprintf("when session affinity is %s", corev1.ServiceAffinityClientIP)))
		} else if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > maxAffinitySeconds {
			errs = append(errs, field.Invalid(at, t, fmt.Sprintf("must be greater than 0 and less than %d", maxAffinitySeconds)))
		}
	}
	return errs
}

func validateClusterIPs(sp *corev1.ServiceSpec, path *field.Path) (errs field.ErrorList) {
	if sp.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	at := path.Child("clusterIPs")
	if len(sp.ClusterIPs) == 0 && sp.ClusterIP != "" {
		errs = append(errs, field.Required(at, ""))
	}
	if len(sp.ClusterIPs) > 0 && sp.ClusterIPs[0] != sp.ClusterIP {
		errs = append(errs, field.Invalid(at, sp.ClusterIPs, "first value must match `clusterIP`"))
	}
	if len(sp.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(at, sp.ClusterIPs, "may only hold up to 2 values"))
	}
	for i, ip := range sp.ClusterIPs {
		if ip == corev1.ClusterIPNone {
			if len(sp.ClusterIPs) > 1 {
				errs = append(errs, field.Invalid(at.Index(i), ip, "'None' must be the first and only value"))
			}
			continue
		}
		errs = append(errs, validation.IsValidIPForLegacyField(at.Index(i), ip, false, nil)...)
	}
	if len(sp.ClusterIPs) == 2 {
		x, errX := netip.ParseAddr(sp.ClusterIPs[0])
		y, errY := netip.ParseAddr(sp.ClusterIPs[1])
		if errX == nil && errY == nil && x.Is4() == y.Is4() {
			errs = append(errs, field.Invalid(at, sp.ClusterIPs, "may specify no more than one IP for each IP family"))
		}
	}
	families := rules.Seen[corev1.IPFamily]{}
	for i, f := range sp.IPFamilies {
		fp := path.Child("ipFamilies").Index(i)
		errs = oneOf(errs, f, fp, corev1.IPv4Protocol, corev1.IPv6Protocol)
		if families.Again(f) {
			errs = append(errs, field.Duplicate(fp, f))
		}
		if i < len(sp.ClusterIPs) {
			if ip, err := netip.ParseAddr(sp.ClusterIPs[i]); err == nil && ip.Is4() != (f == corev1.IPv4Protocol) {
				errs = append(errs, field.Invalid(at.Index(i), sp.ClusterIPs[i], fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%v]`", f, i)))
			}
		}
	}
	if p := sp.IPFamilyPolicy; p != nil {
		errs = oneOf(errs, *p, path.Child("ipFamilyPolicy"), corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)
	}
	return errs
}

func validateTraffic(s *corev1.Service, path *field.Path) (errs field.ErrorList) {
	sp := &s.Spec
	external := HasNodePorts(s) || len(sp.ExternalIPs) > 0 && sp.Type == corev1.ServiceTypeClusterIP
	switch at := path.Child("externalTrafficPolicy"); {
	case !external && sp.ExternalTrafficPolicy != "":
		errs = append(errs, field.Invalid(at, sp.ExternalTrafficPolicy, "may only be set for externally-accessible services"))
	case external:
		errs = requireOneOf(errs, sp.ExternalTrafficPolicy, at, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	}
	if p := sp.InternalTrafficPolicy; p != nil {
		errs = oneOf(errs, *p, path.Child("internalTrafficPolicy"), corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)
	}
	hp := path.Child("healthCheckNodePort")
	if sp.HealthCheckNodePort < 0 || sp.HealthCheckNodePort > 65535 {
		errs = append(errs, field.Invalid(hp, sp.HealthCheckNodePort, validation.InclusiveRangeError(1, 65535)))
	} else if sp.HealthCheckNodePort != 0 && !needsHealthPort(s) {
		errs = append(errs, field.Invalid(hp, sp.HealthCheckNodePort, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	if d := sp.TrafficDistribution; d != nil {
		errs = oneOf(errs, *d, path.Child("trafficDistribution"), corev1.ServiceTrafficDistributionPreferClose,
			corev1.ServiceTrafficDistributionPreferSameNode, corev1.ServiceTrafficDistributionPreferSameZone)
	}
	return errs
}

// validateReachable refuses addresses that mean something else on every host.
func validateReachable(text string, path *field.Path) (errs field.ErrorList) {
	ip, err := lenient.Addr(text)
	if err != nil {
		return nil
	}
	switch {
	case ip.IsUnspecified():
		errs = append(errs, field.Invalid(path, text, "may not be unspecified ("+text+")"))
	case ip.IsLoopback():
		errs = append(errs, field.Invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
	case ip.IsLinkLocalUnicast():
		errs = append(errs, field.Invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
	case ip.IsLinkLocalMulticast():
		errs = append(errs, field.Invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))
	}
	return errs
}
