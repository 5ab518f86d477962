package verbs

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// TestPatchWorkIsBounded: operations times size is what a JSON patch costs.
func TestPatchWorkIsBounded(t *testing.T) {
	before := []byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","finalizers":["` + strings.Repeat(`a/b","`, 100_000) + `a/b"]}}`)
	for name, c := range map[string]struct {
		operations int
		tooLarge   bool
	}{"a few": {20, false}, "very many": {10_000, true}} {
		t.Run(name, func(t *testing.T) {
			body := "[" + strings.TrimSuffix(strings.Repeat(`{"op":"add","path":"/metadata/finalizers/0","value":"c/d"},`, c.operations), ",") + "]"
			p := patcher{kind: types.JSONPatchType, body: []byte(body), want: corev1.SchemeGroupVersion.WithKind("ConfigMap"),
				blank: func() runtime.Object { return &corev1.ConfigMap{} }}
			_, _, err := p.merge(before)
			if apierrors.IsRequestEntityTooLargeError(err) != c.tooLarge || !c.tooLarge && err != nil {
				t.Errorf("%d operations on %d bytes: %v", c.operations, len(before), err)
			}
		})
	}
}
