// Package flowcontrol declares the kinds of flowcontrol.apiserver.k8s.io/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/flowcontrol.
package flowcontrol

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		flowSchema(),
		priorityLevelConfiguration(),
	}
}
