// Package autoscaling declares the kinds of autoscaling/v2. A new kind is one file with its
// descriptor and one line in Kinds; its rules are in api/autoscaling.
package autoscaling

import "hyperkube/apiserver/kind"

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		horizontalPodAutoscaler(),
	}
}
