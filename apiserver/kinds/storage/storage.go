// Package storage declares the kinds of storage.k8s.io/v1. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/storage.
package storage

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		csiDriver(),
		csiNode(),
		csiStorageCapacity(),
		storageClass(),
		volumeAttachment(),
		volumeAttributesClass(),
	}
}
