package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateHost: the pod's name in the network and what it takes of the host.
func validateHost(s *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	if s.Hostname != "" {
		errs = checkLabel(errs, s.Hostname, path.Child("hostname"))
	}
	if s.Subdomain != "" {
		errs = checkLabel(errs, s.Subdomain, path.Child("subdomain"))
	}
	if s.HostnameOverride != nil {
		at := path.Child("hostnameOverride")
		errs = checkSubdomain(errs, *s.HostnameOverride, at)
		if len(*s.HostnameOverride) > 64 {
			errs = append(errs, field.TooLong(at, *s.HostnameOverride, 64))
		}
		if s.HostNetwork {
			errs = append(errs, field.Forbidden(at, "may not be set when hostNetwork is true"))
		}
		if s.SetHostnameAsFQDN != nil && *s.SetHostnameAsFQDN {
			errs = append(errs, field.Forbidden(at, "may not be set when setHostnameAsFQDN is true"))
		}
	}
	for i, a := range s.HostAliases {
		at := path.Child("hostAliases").Index(i)
		errs = append(errs, validation.IsValidIPForLegacyField(at.Child("ip"), a.IP, false, nil)...)
		for j, h := range a.Hostnames {
			errs = checkSubdomain(errs, h, at.Child("hostnames").Index(j))
		}
	}
	if s.HostNetwork {
		errs = append(errs, validateHostPorts(s.Containers, path.Child("containers"))...)
		errs = append(errs, validateHostPorts(s.InitContainers, path.Child("initContainers"))...)
	}
	return errs
}

// validateHostPorts: on the host's network a container port is a host port.
func validateHostPorts(cs []corev1.Container, path *field.Path) (errs field.ErrorList) {
	for i := range cs {
		for j := range cs[i].Ports {
			if p := &cs[i].Ports[j]; p.HostPort != 0 && p.HostPort != p.ContainerPort {
				errs = append(errs, field.Invalid(path.Index(i).Child("ports").Index(j).Child("containerPort"), p.ContainerPort, "must match `hostPort` when `hostNetwork` is true"))
			}
		}
	}
	return errs
}

// Limits of resolv.conf.
const (
	maxNameservers     = 3
	maxSearchPaths     = 32
	maxSearchListChars = 2048
)

func validateDNS(s *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	errs = requireOneOf(errs, s.DNSPolicy, path.Child("dnsPolicy"), corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, corev1.DNSDefault, corev1.DNSNone)
	c, p := s.DNSConfig, path.Child("dnsConfig")
	if s.DNSPolicy == corev1.DNSNone && (c == nil || len(c.Nameservers) == 0) {
		errs = append(errs, field.Required(p.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone)))
	}
	if c == nil {
		return errs
	}
	if len(c.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(p.Child("nameservers"), c.Nameservers, fmt.Sprintf("must not have more than %v nameservers", maxNameservers)))
	}
	for i, ns := range c.Nameservers {
		errs = append(errs, validation.IsValidIPForLegacyField(p.Child("nameservers").Index(i), ns, false, nil)...)
	}
	if len(c.Searches) > maxSearchPaths {
		errs = append(errs, field.Invalid(p.Child("searches"), c.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearchPaths)))
	}
	if len(strings.Join(c.Searches, " ")) > maxSearchListChars {
		errs = append(errs, field.Invalid(p.Child("searches"), c.Searches, fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchListChars)))
	}
	for i, search := range c.Searches {
		if search == "." {
			continue
		}
		// Underscores are fine here: service names (_http._tcp) may be searched in.
		search = strings.TrimSuffix(search, ".")
		if !isDNSSubdomain(strings.ReplaceAll(search, "_", "u")) {
			errs = checkSubdomain(errs, search, p.Child("searches").Index(i))
		}
	}
	for i, o := range c.Options {
		errs = requireText(errs, o.Name, p.Child("options").Index(i))
	}
	return errs
}
