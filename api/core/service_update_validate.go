package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// ValidateServiceUpdate judges a change: addresses stay as long as the type has one.
func ValidateServiceUpdate(s, old *corev1.Service) field.ErrorList {
	errs := ValidateService(s)
	path := field.NewPath("spec")
	if HasClusterIP(old) && s.Spec.Type != corev1.ServiceTypeExternalName || old.Spec.ClusterIP == corev1.ClusterIPNone && s.Spec.Type != corev1.ServiceTypeExternalName {
		if was := old.Spec.ClusterIPs; len(was) > 0 {
			if len(s.Spec.ClusterIPs) == 0 {
				errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), s.Spec.ClusterIPs, "primary clusterIP can not be unset"))
			} else if s.Spec.ClusterIPs[0] != was[0] {
				errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), s.Spec.ClusterIPs, "may not change once set"))
			}
		}
		if was := old.Spec.IPFamilies; len(was) > 0 && len(s.Spec.IPFamilies) > 0 && was[0] != s.Spec.IPFamilies[0] {
			errs = append(errs, field.Invalid(path.Child("ipFamilies").Index(0), s.Spec.IPFamilies, "may not change once set"))
		}
	}
	if old.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		errs = immutable(errs, ptr.Equal(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass), "", path.Child("loadBalancerClass"))
	}
	if needsHealthPort(old) && needsHealthPort(s) && old.Spec.HealthCheckNodePort != 0 {
		errs = immutable(errs, s.Spec.HealthCheckNodePort == old.Spec.HealthCheckNodePort, s.Spec.HealthCheckNodePort, path.Child("healthCheckNodePort"))
	}
	return errs
}

// ValidateServiceStatusUpdate judges what a load balancer's controller reports.
func ValidateServiceStatusUpdate(s, old *corev1.Service) (errs field.ErrorList) {
	path := field.NewPath("status", "loadBalancer", "ingress")
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) > 0 && !equality.Semantic.DeepEqual(s.Status.LoadBalancer, old.Status.LoadBalancer) {
		errs = append(errs, field.Forbidden(path, "may only be used when `spec.type` is \"LoadBalancer\""))
	}
	for i, in := range s.Status.LoadBalancer.Ingress {
		at := path.Index(i)
		if in.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(at.Child("ip"), in.IP, false, nil)...)
		}
		if in.IP != "" && in.IPMode == nil {
			errs = append(errs, field.Required(at.Child("ipMode"), "must be specified when `ip` is set"))
		}
		if in.IP == "" && in.IPMode != nil {
			errs = append(errs, field.Forbidden(at.Child("ipMode"), "may not be specified when `ip` is not set"))
		}
		if m := in.IPMode; m != nil && !slices.Contains([]corev1.LoadBalancerIPMode{corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy}, *m) {
			errs = append(errs, field.NotSupported(at.Child("ipMode"), *m, []corev1.LoadBalancerIPMode{corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy}))
		}
		if in.Hostname != "" {
			errs = checkSubdomain(errs, in.Hostname, at.Child("hostname"))
			if ipErrs := validation.IsValidIPForLegacyField(at.Child("hostname"), in.Hostname, false, nil); len(ipErrs) == 0 {
				errs = append(errs, field.Invalid(at.Child("hostname"), in.Hostname, "must be a DNS name, not an IP address"))
			}
		}
	}
	return errs
}
