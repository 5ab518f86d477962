// Package warnings says what a client should know of an object that is valid all the same:
// fields without effect, names that changed, values that hide others. The server sends
// each as a Warning header (RFC 7234); texts and conditions are the published ones.
//
//	Meta                any object
//	Pod, Template       pods, and the templates of workloads (Workload adds the name)
//	Service, Volume …   one function a kind
//
// Pure functions. Each takes the new object and the one before, nil on create, and is
// silent about what an update leaves alone where that is the published rule.
package warnings

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Meta warns of finalizers that two writers may take for theirs.
func Meta(o, old metav1.Object) (out []string) {
	var had []string
	if old != nil {
		had = old.GetFinalizers()
	}
	for _, f := range o.GetFinalizers() {
		if slices.Contains(had, f) || f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents {
			continue
		}
		if !strings.Contains(f, "/") {
			out = append(out, fmt.Sprintf("metadata.finalizers: %q: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers", f))
		}
	}
	return out
}

// hostname warns of a name that is no DNS label, since pods are called by it.
func hostname(name, used string) []string {
	msgs := validation.IsDNS1123Label(name)
	if len(msgs) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: this is used in %s, which can result in surprising behavior; a DNS label is recommended: %v", used, msgs)}
}

// fraction warns of a part of a byte.
func fraction(q resource.Quantity, path string) []string {
	if q.MilliValue()%1000 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer", path, q.String())}
}

// address warns of an address that parsers read differently, or that is not in its canonical form.
func address(s, path string) []string {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Is4In6() {
			return []string{fmt.Sprintf("%s: non-standard IP address %q will be considered invalid in a future Kubernetes release: use %q", path, s, a.Unmap())}
		}
		if a.Is6() && a.String() != s {
			return []string{fmt.Sprintf("%s: IPv6 address %q should be in RFC 5952 canonical format (%q)", path, s, a)}
		}
		return nil
	}
	if plain := unpadded(s); plain != s {
		return []string{fmt.Sprintf("%s: non-standard IP address %q will be considered invalid in a future Kubernetes release: use %q", path, s, plain)}
	}
	return nil
}

// prefix warns of a CIDR with leading zeros or with bits set beyond its length.
func prefix(s, path string) []string {
	host, bits, ok := strings.Cut(s, "/")
	if !ok {
		return nil
	}
	p, err := netip.ParsePrefix(unpadded(host) + "/" + bits)
	if err != nil {
		return nil
	}
	if p.Addr().Is4In6() {
		return []string{fmt.Sprintf("%s: non-standard CIDR value %q will be considered invalid in a future Kubernetes release", path, s)}
	}
	if want := p.Masked().String(); want != s {
		if p.Addr().Is6() && p.Masked().Addr() == p.Addr() {
			return []string{fmt.Sprintf("%s: IPv6 CIDR value %q should be in RFC 5952 canonical format (%q)", path, s, want)}
		}
		return []string{fmt.Sprintf("%s: non-standard CIDR value %q will be considered invalid in a future Kubernetes release: use %q", path, s, want)}
	}
	return nil
}

// unpadded is an IPv4 address without leading zeros; anything else as it is.
func unpadded(s string) string {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return s
	}
	for i, p := range parts {
		if len(p) == 0 || len(p) > 8 || strings.Trim(p, "0123456789") != "" {
			return s
		}
		if p = strings.TrimLeft(p, "0"); p == "" {
			p = "0"
		}
		parts[i] = p
	}
	plain := strings.Join(parts, ".")
	if _, err := netip.ParseAddr(plain); err != nil {
		return s
	}
	return plain
}

// oldLabels are node labels that have other names today.
var oldLabels = map[string]string{
	"beta.kubernetes.io/arch":                  `is deprecated since v1.14; use "kubernetes.io/arch" instead`,
	"beta.kubernetes.io/os":                    `is deprecated since v1.14; use "kubernetes.io/os" instead`,
	"failure-domain.beta.kubernetes.io/region": `is deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
	"failure-domain.beta.kubernetes.io/zone":   `is deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
	"beta.kubernetes.io/instance-type":         `is deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
}
