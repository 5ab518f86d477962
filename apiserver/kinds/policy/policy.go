// Package policy declares the kinds of policy/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/policy.
package policy

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		podDisruptionBudget(),
	}
}
