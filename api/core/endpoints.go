package core

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"
)

// DefaultEndpoints completes endpoints.
func DefaultEndpoints(e *corev1.Endpoints) {
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			setDefault(&e.Subsets[i].Ports[j].Protocol, corev1.ProtocolTCP)
		}
	}
}

// ValidateEndpoints judges addresses and ports.
func ValidateEndpoints(e *corev1.Endpoints) (errs field.ErrorList) {
	for i := range e.Subsets {
		s, at := &e.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses) == 0 && len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(at, "must specify `addresses` or `notReadyAddresses`"))
		}
		errs = append(errs, validateEndpointAddresses(s.Addresses, at.Child("addresses"))...)
		errs = append(errs, validateEndpointAddresses(s.NotReadyAddresses, at.Child("notReadyAddresses"))...)
		for j := range s.Ports {
			p, pp := &s.Ports[j], at.Child("ports").Index(j)
			if p.Name == "" && len(s.Ports) > 1 {
				errs = append(errs, field.Required(pp.Child("name"), ""))
			} else if p.Name != "" {
				errs = checkLabel(errs, p.Name, pp.Child("name"))
			}
			errs = checkPortNumber(errs, p.Port, pp.Child("port"))
			errs = requireOneOf(errs, p.Protocol, pp.Child("protocol"), corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
			if p.AppProtocol != nil {
				errs = checkQualified(errs, *p.AppProtocol, pp.Child("appProtocol"))
			}
		}
	}
	return errs
}

func validateEndpointAddresses(as []corev1.EndpointAddress, path *field.Path) (errs field.ErrorList) {
	for i := range as {
		a, at := &as[i], path.Index(i)
		if ip, err := netip.ParseAddr(a.IP); err != nil || ip.Is4In6() {
			errs = append(errs, validation.IsValidIPForLegacyField(at.Child("ip"), a.IP, false, nil)...)
		}
		if a.Hostname != "" {
			errs = checkLabel(errs, a.Hostname, at.Child("hostname"))
		}
		if a.NodeName != nil {
			errs = checkSubdomain(errs, *a.NodeName, at.Child("nodeName"))
		}
		errs = append(errs, validateReachable(a.IP, at.Child("ip"))...)
	}
	return errs
}

// EndpointsColumns are printed by kubectl get endpoints.
func EndpointsColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("Endpoints", "Addresses and ports that traffic goes to."), table.AgeColumn()}
}

// EndpointsRow fills EndpointsColumns.
func EndpointsRow(e *corev1.Endpoints, now time.Time) []any {
	return []any{e.Name, endpointList(e), table.Age(e.CreationTimestamp, now)}
}

const endpointsShown = 3

func endpointList(e *corev1.Endpoints) string {
	var out []string
	for i := range e.Subsets {
		s := &e.Subsets[i]
		for _, a := range s.Addresses {
			if len(s.Ports) == 0 {
				out = append(out, a.IP)
			}
			for _, p := range s.Ports {
				out = append(out, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	if len(out) == 0 {
		return table.None
	}
	return table.Some(out, endpointsShown)
}
