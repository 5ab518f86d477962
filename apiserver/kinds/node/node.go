// Package node declares the kinds of node.k8s.io/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/node.
package node

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		runtimeClass(),
	}
}
