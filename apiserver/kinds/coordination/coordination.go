// Package coordination declares the kinds of coordination.k8s.io/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/coordination.
package coordination

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		lease(),
	}
}
