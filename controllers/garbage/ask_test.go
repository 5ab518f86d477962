package garbage

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// TestOwnerThatCannotBeRead: the watch tells that it went, the API server that it is there and
// nothing can be made of it. Its dependents stay. When it is gone indeed, all of them go, and
// the API server is asked once.
func TestOwnerThatCannotBeRead(t *testing.T) {
	const dependents = 50
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "things"}
	client := fake.NewSimpleMetadataClient(scheme)
	answer := error(apierrors.NewInternalError(errors.New("stored object cannot be read")))
	asked, deleted := 0, 0
	client.PrependReactor("get", "things", func(clienttesting.Action) (bool, runtime.Object, error) { asked++; return true, nil, answer })
	client.PrependReactor("delete", "things", func(clienttesting.Action) (bool, runtime.Object, error) { deleted++; return true, nil, nil })
	c := &collector{env: &env.Env{Metadata: client}, graph: newGraph(), catalog: &catalog{
		byKind: map[schema.GroupVersionKind]resource{{Version: "v1", Kind: "Thing"}: {gvr, schema.GroupKind{Kind: "Thing"}, true}}}}
	c.graph.see(object("owner", nil, nil, false))
	for i := range dependents {
		c.graph.see(object(fmt.Sprint(i), []string{"owner"}, nil, false))
	}
	c.graph.lose(types.UID("owner"))
	all := func() (failed int) {
		for i := range dependents {
			if _, err := c.reconcile(t.Context(), kit.Key{Name: fmt.Sprint(i)}); err != nil {
				failed++
			}
		}
		return failed
	}
	if failed := all(); failed != dependents || deleted != 0 {
		t.Fatalf("%d of %d are tried again, %d were deleted", failed, dependents, deleted)
	}
	answer, asked = apierrors.NewNotFound(gvr.GroupResource(), "owner"), 0
	if failed := all(); failed != 0 || deleted != dependents || asked != 1 {
		t.Errorf("%d failed, %d deleted, asked %d times", failed, deleted, asked)
	}
}
