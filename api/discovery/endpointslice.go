// Package discovery is the behaviour of discovery.k8s.io/v1 EndpointSlice:
// defaults, validation and columns, pure functions on the published type.
package discovery

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

const (
	maxEndpoints = 1000
	maxAddresses = 100
	maxPorts     = 20000
	maxHints     = 8
	shown        = 3 // ports and addresses in the table
)

// DefaultEndpointSlice fills in the documented defaults.
func DefaultEndpointSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		if s.Ports[i].Name == nil {
			s.Ports[i].Name = new(string)
		}
		if s.Ports[i].Protocol == nil {
			tcp := corev1.ProtocolTCP
			s.Ports[i].Protocol = &tcp
		}
	}
}

// DropTopology empties the topology of endpoints, which held what v1beta1 said of them and is not writable
// any more: what a client writes there is ignored. What an old slice has of it stays.
func DropTopology(s, old *discoveryv1.EndpointSlice) {
	for i := range s.Endpoints {
		if old != nil && i < len(old.Endpoints) && slices.Equal(s.Endpoints[i].Addresses, old.Endpoints[i].Addresses) {
			s.Endpoints[i].DeprecatedTopology = old.Endpoints[i].DeprecatedTopology
			continue
		}
		s.Endpoints[i].DeprecatedTopology = nil
	}
}

// ValidateEndpointSlice checks a slice.
func ValidateEndpointSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := rules.OneOf(s.AddressType, field.NewPath("addressType"), discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	path := field.NewPath("endpoints")
	if n := len(s.Endpoints); n > maxEndpoints {
		return append(errs, field.TooMany(path, n, maxEndpoints))
	}
	for i := range s.Endpoints {
		errs = append(errs, validateEndpoint(&s.Endpoints[i], s.AddressType, path.Index(i))...)
	}
	return append(errs, validatePorts(s.Ports, field.NewPath("ports"))...)
}

// ValidateEndpointSliceUpdate also refuses to change the address type.
func ValidateEndpointSliceUpdate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	return append(ValidateEndpointSlice(s), rules.Same(s.AddressType, old.AddressType, field.NewPath("addressType"))...)
}

func validateEndpoint(e *discoveryv1.Endpoint, kind discoveryv1.AddressType, path *field.Path) field.ErrorList {
	at := path.Child("addresses")
	var errs field.ErrorList
	switch n := len(e.Addresses); {
	case n == 0:
		errs = append(errs, field.Required(at, "must contain at least 1 address"))
	case n > maxAddresses:
		errs = append(errs, field.TooMany(at, n, maxAddresses))
	}
	for i, a := range e.Addresses {
		errs = append(errs, validateAddress(a, kind, at.Index(i))...)
	}
	if e.NodeName != nil {
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(*e.NodeName), *e.NodeName, path.Child("nodeName"))...)
	}
	if e.Hostname != nil {
		errs = append(errs, rules.Messages(validation.IsDNS1123Label(*e.Hostname), *e.Hostname, path.Child("hostname"))...)
	}
	if e.Hints != nil {
		errs = append(errs, validateHints(e.Hints, path.Child("hints"))...)
	}
	return errs
}

// validateHints: a few zones and nodes, each once.
func validateHints(h *discoveryv1.EndpointHints, path *field.Path) field.ErrorList {
	zones, nodes := path.Child("forZones"), path.Child("forNodes")
	var errs field.ErrorList
	if n := len(h.ForZones); n > maxHints {
		errs = append(errs, field.TooMany(zones, n, maxHints))
	}
	seen := rules.Seen[string]{}
	for i, z := range h.ForZones {
		at := zones.Index(i).Child("name")
		if z.Name == "" {
			errs = append(errs, field.Required(at, ""))
		} else if seen.Again(z.Name) {
			errs = append(errs, field.Duplicate(at, z.Name))
		}
		errs = append(errs, rules.Messages(validation.IsValidLabelValue(z.Name), z.Name, at)...)
	}
	if n := len(h.ForNodes); n > maxHints {
		errs = append(errs, field.TooMany(nodes, n, maxHints))
	}
	seen = rules.Seen[string]{}
	for i, node := range h.ForNodes {
		at := nodes.Index(i).Child("name")
		if seen.Again(node.Name) {
			errs = append(errs, field.Duplicate(at, node.Name))
		}
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(node.Name), node.Name, at)...)
	}
	return errs
}

func validateAddress(a string, kind discoveryv1.AddressType, path *field.Path) field.ErrorList {
	switch kind {
	case discoveryv1.AddressTypeFQDN:
		return validation.IsFullyQualifiedDomainName(path, a)
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	default:
		return nil
	}
	ip, err := netip.ParseAddr(a)
	switch {
	case err != nil || ip.Zone() != "":
		return field.ErrorList{field.Invalid(path, a, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")}
	case kind == discoveryv1.AddressTypeIPv4 && !ip.Is4():
		return field.ErrorList{field.Invalid(path, a, "must be a valid IPv4 address")}
	case kind == discoveryv1.AddressTypeIPv6 && !ip.Is6():
		return field.ErrorList{field.Invalid(path, a, "must be a valid IPv6 address")}
	}
	return validateReach(ip, a, path)
}

// validateReach refuses addresses that would reach a node instead of an endpoint.
func validateReach(ip netip.Addr, a string, path *field.Path) field.ErrorList {
	switch {
	case ip.IsUnspecified():
		return field.ErrorList{field.Invalid(path, a, "may not be unspecified (0.0.0.0 or ::)")}
	case ip.IsLoopback():
		return field.ErrorList{field.Invalid(path, a, "may not be in the loopback range (127.0.0.0/8, ::1/128)")}
	case ip.IsLinkLocalUnicast():
		return field.ErrorList{field.Invalid(path, a, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")}
	case ip.IsLinkLocalMulticast():
		return field.ErrorList{field.Invalid(path, a, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")}
	}
	return nil
}

func validatePorts(ports []discoveryv1.EndpointPort, path *field.Path) field.ErrorList {
	if len(ports) > maxPorts {
		return field.ErrorList{field.TooMany(path, len(ports), maxPorts)}
	}
	var errs field.ErrorList
	seen := make(map[string]bool, len(ports))
	for i, p := range ports {
		at := path.Index(i)
		if p.Name != nil {
			if len(*p.Name) > 0 {
				errs = append(errs, rules.Messages(validation.IsDNS1123Label(*p.Name), *p.Name, at.Child("name"))...)
			}
			if seen[*p.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), *p.Name))
			}
			seen[*p.Name] = true
		}
		if p.Protocol == nil {
			errs = append(errs, field.Required(at.Child("protocol"), ""))
		} else {
			errs = append(errs, rules.OneOf(*p.Protocol, at.Child("protocol"), corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)...)
		}
		if p.AppProtocol != nil {
			errs = append(errs, rules.Messages(validation.IsQualifiedName(*p.AppProtocol), *p.AppProtocol, at.Child("appProtocol"))...)
		}
	}
	return errs
}

// EndpointSliceColumns are what kubectl prints.
func EndpointSliceColumns() []metav1.TableColumnDefinition {
	doc := discoveryv1.EndpointSlice{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("AddressType", doc["addressType"]),
		table.Text("Ports", doc["ports"]),
		table.Text("Endpoints", doc["endpoints"]),
		table.AgeColumn(),
	}
}

// EndpointSliceRow fills EndpointSliceColumns.
func EndpointSliceRow(s *discoveryv1.EndpointSlice, now time.Time) []any {
	var ports, addresses []string
	for _, p := range s.Ports {
		switch {
		case p.Port != nil:
			ports = append(ports, strconv.Itoa(int(*p.Port)))
		case p.Name != nil && *p.Name != "":
			ports = append(ports, *p.Name)
		default:
			ports = append(ports, "*")
		}
	}
	for i := range s.Endpoints {
		addresses = append(addresses, s.Endpoints[i].Addresses...)
	}
	return []any{
		s.Name, string(s.AddressType), table.OrUnset(table.Some(ports, shown)),
		table.OrUnset(table.Some(addresses, shown)), table.Age(s.CreationTimestamp, now),
	}
}
