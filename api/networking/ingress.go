package networking

import (
	"net/netip"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// IngressClassAnnotation named the class before spec.ingressClassName did.
const IngressClassAnnotation = "kubernetes.io/ingress.class"

// ValidateIngress checks an Ingress to be created.
func ValidateIngress(i *networkingv1.Ingress) field.ErrorList {
	errs := ValidateIngressUpdate(i, nil)
	if class, set := i.Annotations[IngressClassAnnotation]; set && i.Spec.IngressClassName != nil && *i.Spec.IngressClassName != class {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations").Child(IngressClassAnnotation), class, "must match `ingressClassName` when both are specified"))
	}
	return errs
}

// ValidateIngressUpdate checks a change.
func ValidateIngressUpdate(i, _ *networkingv1.Ingress) field.ErrorList {
	spec, s := field.NewPath("spec"), &i.Spec
	var errs field.ErrorList
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		errs = append(errs, field.Invalid(spec, s.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if s.DefaultBackend != nil {
		errs = append(errs, validateBackend(s.DefaultBackend, spec.Child("defaultBackend"))...)
	}
	for n := range s.Rules {
		errs = append(errs, validateIngressRule(&s.Rules[n], spec.Child("rules").Index(n))...)
	}
	for n, tls := range s.TLS {
		for h, host := range tls.Hosts {
			errs = append(errs, validateHost(host, spec.Child("tls").Index(n).Child("hosts").Index(h))...)
		}
		if tls.SecretName != "" {
			errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(tls.SecretName), tls.SecretName, spec.Child("tls").Index(n).Child("secretName"))...)
		}
	}
	if s.IngressClassName != nil {
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(*s.IngressClassName), *s.IngressClassName, spec.Child("ingressClassName"))...)
	}
	return errs
}

func validateHost(host string, path *field.Path) field.ErrorList {
	if strings.Contains(host, "*") {
		return rules.Messages(validation.IsWildcardDNS1123Subdomain(host), host, path)
	}
	return rules.Messages(validation.IsDNS1123Subdomain(host), host, path)
}

func validateIngressRule(r *networkingv1.IngressRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Host != "" {
		if _, err := netip.ParseAddr(r.Host); err == nil {
			errs = append(errs, field.Invalid(path.Child("host"), r.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, validateHost(r.Host, path.Child("host"))...)
	}
	if r.HTTP == nil {
		return errs
	}
	if len(r.HTTP.Paths) == 0 {
		errs = append(errs, field.Required(path.Child("http", "paths"), ""))
	}
	for i := range r.HTTP.Paths {
		errs = append(errs, validateHTTPPath(&r.HTTP.Paths[i], path.Child("http", "paths").Index(i))...)
	}
	return errs
}

func validateHTTPPath(p *networkingv1.HTTPIngressPath, path *field.Path) field.ErrorList {
	if p.PathType == nil {
		return field.ErrorList{field.Required(path.Child("pathType"), "pathType must be specified")}
	}
	var errs field.ErrorList
	at := path.Child("path")
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
		for _, bad := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(p.Path, bad) {
				errs = append(errs, field.Invalid(at, p.Path, "must not contain '"+bad+"'"))
			}
		}
		for _, bad := range []string{"/..", "/."} {
			if strings.HasSuffix(p.Path, bad) {
				errs = append(errs, field.Invalid(at, p.Path, "cannot end with '"+bad+"'"))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("pathType"), *p.PathType,
			[]networkingv1.PathType{networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix}))
	}
	return append(errs, validateBackend(&p.Backend, path.Child("backend"))...)
}

func validateBackend(b *networkingv1.IngressBackend, path *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(path, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateReference(b.Resource.APIGroup, b.Resource.Kind, b.Resource.Name, path.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Required(path, "resource or service backend is required")}
	}
	s, at := b.Service, path.Child("service")
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	} else {
		errs = append(errs, rules.Messages(validation.IsDNS1035Label(s.Name), s.Name, at.Child("name"))...)
	}
	switch port := at.Child("port"); {
	case s.Port.Name != "" && s.Port.Number != 0:
		errs = append(errs, field.Invalid(at, "", "cannot set both port name & port number"))
	case s.Port.Name != "":
		errs = append(errs, rules.Messages(validation.IsValidPortName(s.Port.Name), s.Port.Name, port.Child("name"))...)
	case s.Port.Number != 0:
		errs = append(errs, rules.Messages(validation.IsValidPortNum(int(s.Port.Number)), s.Port.Number, port.Child("number"))...)
	default:
		errs = append(errs, field.Required(at, "port name or number is required"))
	}
	return errs
}

// ValidateIngressStatus checks what the ingress controller reports.
func ValidateIngressStatus(i, _ *networkingv1.Ingress) field.ErrorList {
	var errs field.ErrorList
	for n, lb := range i.Status.LoadBalancer.Ingress {
		at := field.NewPath("status", "loadBalancer", "ingress").Index(n)
		if lb.IP != "" {
			if _, err := netip.ParseAddr(lb.IP); err != nil {
				errs = append(errs, field.Invalid(at.Child("ip"), lb.IP, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
			}
		}
		if lb.Hostname != "" {
			errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(lb.Hostname), lb.Hostname, at.Child("hostname"))...)
			if _, err := netip.ParseAddr(lb.Hostname); err == nil {
				errs = append(errs, field.Invalid(at.Child("hostname"), lb.Hostname, "must be a DNS name, not an IP address"))
			}
		}
	}
	return errs
}

// IngressColumns are what kubectl prints.
func IngressColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Class", "The name of the IngressClass resource that should be used for this object"),
		table.Text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
		table.Text("Address", "Address is a list containing ingress points for the load-balancer"),
		table.Text("Ports", "Ports of TLS configurations that open"),
		table.AgeColumn(),
	}
}

// IngressRow fills IngressColumns.
func IngressRow(i *networkingv1.Ingress, now time.Time) []any {
	class, ports := table.None, "80"
	if i.Spec.IngressClassName != nil {
		class = *i.Spec.IngressClassName
	} else if old := i.Annotations[IngressClassAnnotation]; old != "" {
		class = old
	}
	if len(i.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	var hosts, addresses []string
	for _, r := range i.Spec.Rules {
		if r.Host != "" {
			hosts = append(hosts, r.Host)
		}
	}
	for _, lb := range i.Status.LoadBalancer.Ingress {
		switch {
		case lb.IP != "":
			addresses = append(addresses, lb.IP)
		case lb.Hostname != "":
			addresses = append(addresses, lb.Hostname)
		}
	}
	host := table.Some(hosts, 3)
	if host == "" {
		host = "*"
	}
	return []any{i.Name, class, host, strings.Join(addresses, ","), ports, table.Age(i.CreationTimestamp, now)}
}
