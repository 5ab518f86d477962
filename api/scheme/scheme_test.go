package scheme

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestNewKnowsWhatIsServed(t *testing.T) {
	s := New()
	for _, gvk := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Pod"},
		{Version: "v1", Kind: "Status"},
		{Version: "v1", Kind: "DeleteOptions"},
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "apps", Version: "v1", Kind: "WatchEvent"},
		{Group: "autoscaling", Version: "v1", Kind: "Scale"},
		{Group: "meta.k8s.io", Version: "v1", Kind: "Table"},
		{Group: "meta.k8s.io", Version: "v1", Kind: "PartialObjectMetadataList"},
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	} {
		if !s.Recognizes(gvk) {
			t.Errorf("%v is unknown", gvk)
		}
	}
	if s == New() || !s.IsVersionRegistered(corev1.SchemeGroupVersion) {
		t.Error("a scheme must be the caller's own and hold core/v1")
	}
}
