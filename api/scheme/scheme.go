// Package scheme knows the Go type of every group, version and kind that
// Hyperkube speaks: all published groups of k8s.io/api, the meta types (options,
// Status, Table, WatchEvent) in every group-version, and apiextensions' v1.
//
// New builds a fresh scheme at every call, so that a caller may add to its own
// without touching anybody else's. Nothing here is global.
package scheme

import (
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubescheme "k8s.io/client-go/kubernetes/scheme"
)

// New returns a scheme with every served group and the meta types. It panics
// only when two published packages contradict each other, which a test shows.
func New() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		kubescheme.AddToScheme,
		apiextensionsv1.AddToScheme,
		metav1.AddMetaToScheme,
	} {
		if err := add(s); err != nil {
			panic(fmt.Sprintf("building the scheme: %v", err))
		}
	}
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	return s
}
