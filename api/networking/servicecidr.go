package networking

import (
	"net/netip"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// ValidateServiceCIDR checks the ranges: one, or one of each family.
func ValidateServiceCIDR(c *networkingv1.ServiceCIDR) field.ErrorList {
	path := field.NewPath("spec", "cidrs")
	if n := len(c.Spec.CIDRs); n == 0 {
		return field.ErrorList{field.Required(path, "at least one CIDR required")}
	} else if n > 2 {
		return field.ErrorList{field.Invalid(path, c.Spec.CIDRs, "may only hold up to 2 values")}
	}
	var errs field.ErrorList
	var families []bool
	for i, text := range c.Spec.CIDRs {
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(path.Index(i), text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
		case p != p.Masked() || p.String() != text:
			errs = append(errs, field.Invalid(path.Index(i), text, "must be in canonical form (\""+p.Masked().String()+"\")"))
		}
		families = append(families, p.Addr().Is4())
	}
	if len(families) == 2 && families[0] == families[1] {
		errs = append(errs, field.Invalid(path, c.Spec.CIDRs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"))
	}
	return errs
}

// ValidateServiceCIDRUpdate lets a second family be added, nothing else.
func ValidateServiceCIDRUpdate(c, old *networkingv1.ServiceCIDR) field.ErrorList {
	path := field.NewPath("spec", "cidrs")
	if len(old.Spec.CIDRs) == 1 && len(c.Spec.CIDRs) == 2 {
		return append(ValidateServiceCIDR(c), rules.Same(c.Spec.CIDRs[0], old.Spec.CIDRs[0], path.Index(0))...)
	}
	return rules.Same(c.Spec.CIDRs, old.Spec.CIDRs, path)
}

// ValidateServiceCIDRStatus checks what the controller reports.
func ValidateServiceCIDRStatus(c, _ *networkingv1.ServiceCIDR) field.ErrorList {
	return metavalidation.ValidateConditions(c.Status.Conditions, field.NewPath("status", "conditions"))
}

// ServiceCIDRColumns are what kubectl prints.
func ServiceCIDRColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("CIDRs", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"]), table.AgeColumn(),
	}
}

// ServiceCIDRRow fills ServiceCIDRColumns.
func ServiceCIDRRow(c *networkingv1.ServiceCIDR, now time.Time) []any {
	return []any{c.Name, strings.Join(c.Spec.CIDRs, ","), table.Age(c.CreationTimestamp, now)}
}
