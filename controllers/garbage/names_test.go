package garbage

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
	ktesting "k8s.io/client-go/testing"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// told is a recorder.
type told []string

func (t *told) Event(_ runtime.Object, kind, reason, message string) {
	*t = append(*t, kind+" "+reason+": "+message)
}

func (t *told) Eventf(o runtime.Object, kind, reason, format string, args ...any) {
	t.Event(o, kind, reason, fmt.Sprintf(format, args...))
}

func (t *told) AnnotatedEventf(o runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	t.Eventf(o, kind, reason, format, args...)
}

// TestWronglyNamedOwners: an owner that is there under another name, kind or namespace is none: what names it so goes.
func TestWronglyNamedOwners(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*identity, *metav1.PartialObjectMetadata)
		goes   bool
		event  string
	}{
		"right":           {func(*identity, *metav1.PartialObjectMetadata) {}, false, ""},
		"another name":    {func(_ *identity, o *metav1.PartialObjectMetadata) { o.OwnerReferences[0].Name = "x" }, true, ""},
		"another's name":  {func(_ *identity, o *metav1.PartialObjectMetadata) { o.OwnerReferences[0].Name = "other" }, true, ""},
		"another kind":    {func(_ *identity, o *metav1.PartialObjectMetadata) { o.OwnerReferences[0].Kind = "Else" }, true, ""},
		"other namespace": {func(id *identity, o *metav1.PartialObjectMetadata) { id.namespace, o.Namespace = "m", "m" }, true, "Warning OwnerRefInvalidNamespace: "},
	} {
		scheme := runtime.NewScheme()
		if err := metav1.AddMetaToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		things, elses := schema.GroupVersionResource{Version: "v1", Resource: "things"}, schema.GroupVersionResource{Version: "v1", Resource: "elses"}
		thing := func(uid string) *metav1.PartialObjectMetadata {
			_, o := object(uid, nil, nil, false)
			o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Thing"}
			return o
		}
		id, dependent := object("dependent", []string{"owner"}, nil, false)
		dependent.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Thing"}
		c.change(&id, dependent)
		client := fake.NewSimpleMetadataClient(scheme, thing("owner"), thing("other"), dependent)
		gone := false
		client.PrependReactor("delete", "things", func(a ktesting.Action) (bool, runtime.Object, error) {
			gone = a.(ktesting.DeleteAction).GetName() == "dependent"
			return true, nil, nil
		})
		var events told
		kinds := &catalog{byKind: map[schema.GroupVersionKind]resource{
			{Version: "v1", Kind: "Thing"}: {things, schema.GroupKind{Kind: "Thing"}, true},
			{Version: "v1", Kind: "Else"}:  {elses, schema.GroupKind{Kind: "Else"}, true},
		}}
		col := &collector{env: &env.Env{Metadata: client}, graph: newGraph(), catalog: kinds, events: &events, kindsChanged: make(chan struct{}, 1)}
		col.graph.see(object("owner", nil, nil, false))
		for _, uid := range col.graph.see(id, dependent) {
			if _, err := col.reconcile(context.Background(), kit.Key{Name: string(uid)}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if gone != c.goes {
			t.Errorf("%s: goes %v, want %v", name, gone, c.goes)
		}
		if said := strings.Join(events, "\n"); (c.event == "") != (said == "") || !strings.HasPrefix(said, c.event) {
			t.Errorf("%s: told %q, want %q", name, said, c.event)
		}
	}
}
