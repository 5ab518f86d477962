package garbage

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/fake"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// However many owners set their dependents free, the API server is asked once for all that
// were being deleted before, and again for one that was not.
func TestLatecomersAreAskedForOnce(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "things"}
	late := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Thing"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "late", UID: "late", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Thing", Name: "7", UID: "7"}}}}
	client := fake.NewSimpleMetadataClient(scheme, late)
	c := &collector{env: &env.Env{Metadata: client}, graph: newGraph(), catalog: &catalog{
		listed: []resource{{gvr, schema.GroupKind{Kind: "Thing"}, true}}}}
	look := func(uid string) int {
		f, ok := c.graph.factsOf(types.UID(uid))
		if !ok {
			t.Fatalf("%s is not there", uid)
		}
		found, err := c.latecomers.of(t.Context(), c, f)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	for i := range 1000 {
		c.graph.see(object(fmt.Sprint(i), nil, []string{metav1.FinalizerOrphanDependents}, true))
	}
	for i := range 1000 {
		if got, want := look(fmt.Sprint(i)), map[bool]int{i == 7: 1}[true]; got != want {
			t.Fatalf("owner %d: %d dependents, want %d", i, got, want)
		}
	}
	if n := len(client.Actions()); n != 1 {
		t.Errorf("%d lists for 1000 owners, want 1", n)
	}
	c.graph.see(object("new", nil, []string{metav1.FinalizerOrphanDependents}, true))
	look("new")
	if n := len(client.Actions()); n != 2 {
		t.Errorf("%d lists after one more owner, want 2", n)
	}
}

// Whoever names an object wrongly does not keep it from going.
func TestOnlyRightReferencesBlock(t *testing.T) {
	for name, change := range map[string]func(*identity, *metav1.PartialObjectMetadata){
		"right":             func(*identity, *metav1.PartialObjectMetadata) {},
		"another namespace": func(id *identity, o *metav1.PartialObjectMetadata) { id.namespace, o.Namespace = "m", "m" },
		"another kind":      func(_ *identity, o *metav1.PartialObjectMetadata) { o.OwnerReferences[0].Kind = "Other" },
		"another name":      func(_ *identity, o *metav1.PartialObjectMetadata) { o.OwnerReferences[0].Name = "x" },
		"no version":        func(_ *identity, o *metav1.PartialObjectMetadata) { o.OwnerReferences[0].APIVersion = "a/b/c" },
	} {
		g := newGraph()
		id, o := object("a", []string{"owner!"}, nil, false)
		change(&id, o)
		g.see(id, o)
		g.see(object("owner", nil, []string{metav1.FinalizerDeleteDependents}, true))
		f, _ := g.factsOf("owner")
		if p := planFor(f); (p.release == "") != (name == "right") {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// slowLists takes an hour to list what is in the namespace "slow".
type slowLists struct {
	metadata.Getter
	namespace string
}

func (s slowLists) Resource(schema.GroupVersionResource) metadata.Getter { return s }

func (s slowLists) Namespace(ns string) metadata.ResourceInterface { return slowLists{namespace: ns} }

func (s slowLists) List(context.Context, metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	if s.namespace == "slow" {
		time.Sleep(time.Hour)
	}
	return &metav1.PartialObjectMetadataList{}, nil
}

// The listing of one namespace keeps no other waiting.
func TestLatecomersOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{env: &env.Env{Metadata: slowLists{}}, graph: newGraph(), catalog: &catalog{
			listed: []resource{{schema.GroupVersionResource{Version: "v1", Resource: "things"}, schema.GroupKind{Kind: "Thing"}, true}}}}
		start, took := time.Now(), make(chan time.Duration, 2)
		look := func(namespace string) {
			if _, err := c.latecomers.of(t.Context(), c, facts{identity: identity{namespace: namespace}}); err != nil {
				t.Error(err)
			}
			took <- time.Since(start)
		}
		go look("slow")
		synctest.Wait()
		go look("quick")
		if d := <-took; d != 0 {
			t.Errorf("the other namespace waited %s", d)
		}
		<-took
	})
}

// A key carries the namespace of its object, so that namespaces take turns.
func TestKeysOf(t *testing.T) {
	g := newGraph()
	g.see(identity{namespace: "n", name: "a", uid: "a"}, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{UID: "b"}}}})
	want := []kit.Key{{Namespace: "n", Name: "a"}, {Name: "b"}, {Name: "c"}}
	if got := g.keysOf([]types.UID{"a", "b", "c"}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
