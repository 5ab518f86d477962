package garbage

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	fakemetadata "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// watches is a source without objects, until somebody feeds it.
type watches map[string]*watch.FakeWatcher

func (s watches) ListerWatcher(gvr schema.GroupVersionResource, _ kit.SourceOptions) cache.ListerWatcherWithContext {
	return plainLists{&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return s[gvr.Resource], nil },
	}}
}

type plainLists struct{ *cache.ListWatch }

func (plainLists) IsWatchListSemanticsUnSupported() bool { return true }

// TestKindsAreAskedForWhenTheyChange: an idle cluster costs hardly a request.
func TestKindsAreAskedForWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verbs := metav1.Verbs{"get", "list", "watch", "delete"}
		served := &clienttesting.Fake{Resources: []*metav1.APIResourceList{
			{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "pods", Kind: "Pod", Namespaced: true, Verbs: verbs}}},
			{GroupVersion: "apiextensions.k8s.io/v1", APIResources: []metav1.APIResource{
				{Name: "customresourcedefinitions", Kind: "CustomResourceDefinition", Verbs: verbs}}},
		}}
		source := watches{"pods": watch.NewFake(), "customresourcedefinitions": watch.NewFake()}
		log := slog.New(slog.DiscardHandler)
		kube := fake.NewClientset()
		e := &env.Env{
			Kube: kube, Metadata: fakemetadata.NewSimpleMetadataClient(fakemetadata.NewTestScheme()), Log: log, Events: kit.NewEvents(kube, log),
			Discovery: discovery.ToDiscoveryInterfaceWithContext(&fakediscovery.FakeDiscovery{Fake: served}), Informers: kit.NewInformers(source, log),
		}
		r, err := New(e)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- env.Group{e.Events, e.Informers, r}.Run(ctx) }()
		asked := func(d time.Duration) int { // since it was told last, and in that time
			time.Sleep(d) // of the bubble's clock
			synctest.Wait()
			n := 0
			for _, a := range served.Actions() {
				if a.GetResource().Resource == "group" {
					n++
				}
			}
			served.ClearActions() // now, as all wait: before the next time somebody may have begun
			return n
		}
		if n := asked(time.Minute); n != 1 {
			t.Errorf("asked %d times at the start, want once", n)
		}
		if n := asked(time.Hour); n != 4 {
			t.Errorf("asked %d times in an idle hour, want 4", n)
		}
		source["customresourcedefinitions"].Add(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "x", ResourceVersion: "2"}})
		if n := asked(10 * time.Second); n != 1 {
			t.Errorf("asked %d times for a new definition, want once", n)
		}
		source["pods"].Add(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "p", ResourceVersion: "3",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "new/v1", Kind: "New", Name: "n", UID: "n"}}}})
		if n := asked(10 * time.Second); n < 1 || n > 5 {
			t.Errorf("asked %d times for an owner of an unknown kind, want once or a little more", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
