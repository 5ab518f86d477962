package controllers_test

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// oneAddress stands for the service network.
type oneAddress struct{}

func (oneAddress) AllocateIP(_ context.Context, _ store.Key, want string) (string, error) {
	if want == "" {
		want = "10.32.0.1"
	}
	return want, nil
}
func (oneAddress) ReleaseIP(context.Context, string) {}
func (oneAddress) AllocatePort(_ context.Context, _ store.Key, want int32) (int32, error) {
	return max(want, 30000), nil
}
func (oneAddress) ReleasePort(context.Context, int32) {}

// discoveryOf tells of the kinds as the server's discovery does.
func discoveryOf(kinds []*kind.Kind) discovery.DiscoveryInterfaceWithContext {
	byVersion := map[string]*metav1.APIResourceList{}
	fake := &clienttesting.Fake{}
	for _, k := range kinds {
		gv := metav1.GroupVersion{Group: k.Group, Version: k.Version}.String()
		l := byVersion[gv]
		if l == nil {
			l = &metav1.APIResourceList{GroupVersion: gv}
			byVersion[gv] = l
			fake.Resources = append(fake.Resources, l)
		}
		l.APIResources = append(l.APIResources, metav1.APIResource{Name: k.Plural, Namespaced: k.Namespaced, Kind: k.Kind, Verbs: k.Verbs})
	}
	return discovery.ToDiscoveryInterfaceWithContext(&fakediscovery.FakeDiscovery{Fake: fake})
}
