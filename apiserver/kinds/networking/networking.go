// Package networking declares the kinds of networking.k8s.io/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/networking.
package networking

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		ingressClass(),
		ingress(),
		ipAddress(),
		networkPolicy(),
		serviceCIDR(),
	}
}
