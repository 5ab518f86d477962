// Package discovery declares the kinds of discovery.k8s.io/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/discovery.
package discovery

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		endpointSlice(),
	}
}
