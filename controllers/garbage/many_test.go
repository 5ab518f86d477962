package garbage

import (
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"hyperkube/controllers/env"
	"hyperkube/internal/bounds"
	"hyperkube/kit"
)

// TestManyOwners: objects that name thousands of owners are looked at one after the other,
// and leave the workers to everybody else's; in the end they are.
func TestManyOwners(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "things"}
	client := fake.NewSimpleMetadataClient(scheme)
	var deleted []string
	client.PrependReactor("get", "things", func(a clienttesting.Action) (bool, runtime.Object, error) {
		name := a.(clienttesting.GetAction).GetName()
		return true, nil, apierrors.NewNotFound(gvr.GroupResource(), name)
	})
	client.PrependReactor("delete", "things", func(a clienttesting.Action) (bool, runtime.Object, error) {
		deleted = append(deleted, a.(clienttesting.DeleteAction).GetName())
		return true, nil, nil
	})
	c := &collector{env: &env.Env{Metadata: client}, graph: newGraph(), catalog: &catalog{
		byKind: map[schema.GroupVersionKind]resource{{Version: "v1", Kind: "Thing"}: {gvr, schema.GroupKind{Kind: "Thing"}, true}}}}
	for i := range 2 {
		var owners []string
		for k := range bounds.Owners + 1 {
			owners = append(owners, fmt.Sprint("owner-", i, "-", k))
		}
		c.graph.see(object(fmt.Sprint("many", i), owners, nil, false))
	}
	c.graph.see(object("light", []string{"few"}, nil, false))

	look := func(name string, after time.Duration) {
		t.Helper()
		if r, err := c.reconcile(t.Context(), kit.Key{Name: name}); err != nil || r.After != after {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	c.many.Lock() // another one is being looked at
	look("many0", manyAgain)
	look("many1", manyAgain)
	look("light", 0)
	if fmt.Sprint(deleted) != "[light]" {
		t.Errorf("deleted: %v", deleted)
	}
	c.many.Unlock()
	look("many0", 0)
	look("many1", 0)
	if fmt.Sprint(deleted) != "[light many0 many1]" {
		t.Errorf("deleted: %v", deleted)
	}
}
