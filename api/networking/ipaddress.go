package networking

import (
	"net/netip"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// IPAddressName checks metadata.name: an address in canonical form.
func IPAddressName(name string, _ bool) []string {
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return []string{"must be a valid IP address in canonical form"}
	}
	if ip.String() != name {
		return []string{"must be a canonical format IP address"}
	}
	return nil
}

// ValidateIPAddress checks who an address belongs to.
func ValidateIPAddress(a *networkingv1.IPAddress) field.ErrorList {
	path, r := field.NewPath("spec", "parentRef"), a.Spec.ParentRef
	if r == nil {
		return field.ErrorList{field.Required(path, "")}
	}
	errs := validateSegment(r.Resource, path.Child("resource"))
	errs = append(errs, validateSegment(r.Name, path.Child("name"))...)
	if r.Namespace != "" {
		errs = append(errs, validateSegment(r.Namespace, path.Child("namespace"))...)
	}
	if r.Group != "" {
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(r.Group), r.Group, path.Child("group"))...)
	}
	return errs
}

// ValidateIPAddressUpdate refuses to give the address away.
func ValidateIPAddressUpdate(a, old *networkingv1.IPAddress) field.ErrorList {
	return rules.Same(a.Spec.ParentRef, old.Spec.ParentRef, field.NewPath("spec", "parentRef"))
}

// IPAddressColumns are what kubectl prints.
func IPAddressColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("ParentRef", networkingv1.IPAddressSpec{}.SwaggerDoc()["parentRef"]), table.AgeColumn(),
	}
}

// IPAddressRow fills IPAddressColumns.
func IPAddressRow(a *networkingv1.IPAddress, now time.Time) []any {
	parent := table.None
	if r := a.Spec.ParentRef; r != nil {
		parent = r.Resource
		if r.Group != "" {
			parent += "." + r.Group
		}
		if r.Namespace != "" {
			parent += "/" + r.Namespace
		}
		parent += "/" + r.Name
	}
	return []any{a.Name, parent, table.Age(a.CreationTimestamp, now)}
}
