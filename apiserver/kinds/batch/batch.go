// Package batch declares the kinds of batch/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/batch.
package batch

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		cronJob(),
		job(),
	}
}
