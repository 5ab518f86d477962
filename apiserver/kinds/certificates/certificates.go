// Package certificates declares the kinds of certificates.k8s.io/v1. A new kind
// is one file with its descriptor and one line in Kinds; its rules are in
// api/certificates.
package certificates

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/kind"
)

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		certificateSigningRequest(metav1.Now),
	}
}
