package bootstrapdata_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"hyperkube/apiserver/bootstrapdata"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

func newStore() *storetest.Store {
	const r = "." + rbacv1.GroupName
	return storetest.New("namespaces", "services", "endpoints", "masterleases", "configmaps", "endpointslices.discovery.k8s.io", "priorityclasses.scheduling.k8s.io",
		"servicecidrs.networking.k8s.io", "clusterroles"+r, "clusterrolebindings"+r, "roles"+r, "rolebindings"+r)
}

func config(s store.Reader) bootstrapdata.Config {
	return bootstrapdata.Config{
		Reader: s, ServiceIP: netip.MustParseAddr("10.96.0.1"), Services: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		Advertise: netip.MustParseAddrPort("192.0.2.1:6443"), Trust: bootstrapdata.Trust{ClientCA: []byte("ca"), RequestHeaderCA: []byte("rh")}, Now: time.Unix(1, 0),
	}
}

func get[T store.Object](t *testing.T, s *storetest.Store, group, resource string, key store.Key) T {
	t.Helper()
	c, _ := s.Collection(group, resource)
	e, err := c.Get(t.Context(), key, store.Freshness{})
	if err != nil {
		t.Fatal(resource, key, err)
	}
	return e.Object.(T)
}

func TestEnsure(t *testing.T) {
	s := newStore()
	for range 2 {
		if err := bootstrapdata.Ensure(t.Context(), config(s)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		if ns := get[*corev1.Namespace](t, s, "", "namespaces", store.Key{Name: n}); ns.Status.Phase != "Active" || ns.UID == "" {
			t.Errorf("namespace %s: %+v", n, ns)
		}
	}
	key := store.Key{Namespace: "default", Name: "kubernetes"}
	svc := get[*corev1.Service](t, s, "", "services", key)
	if svc.Spec.ClusterIP != "10.96.0.1" || svc.Spec.Ports[0].TargetPort.IntVal != 6443 {
		t.Errorf("service %+v", svc.Spec)
	}
	slice := get[*discoveryv1.EndpointSlice](t, s, "discovery.k8s.io", "endpointslices", key)
	if len(slice.Endpoints) != 1 || slice.Endpoints[0].Addresses[0] != "192.0.2.1" || *slice.Ports[0].Port != 6443 {
		t.Errorf("endpoint slice %+v", slice)
	}
}

// TestEnsureBesideUnreadable: what cannot be read is left alone and named, and keeps
// nothing else from being written: a server that gave up would leave nobody to mend it.
func TestEnsureBesideUnreadable(t *testing.T) {
	s := newStore()
	spoiled := map[string]store.Key{
		"namespaces": {Name: "kube-system"}, "services": {Namespace: "default", Name: "kubernetes"},
		"configmaps":                       {Namespace: "kube-system", Name: "extension-apiserver-authentication"},
		"clusterroles." + rbacv1.GroupName: {Name: "cluster-admin"}, "priorityclasses.scheduling.k8s.io": {Name: "system-node-critical"},
		"servicecidrs.networking.k8s.io": {Name: "kubernetes"}, "endpoints": {Namespace: "default", Name: "kubernetes"},
	}
	for resource, key := range spoiled {
		s.Spoil(resource, key)
	}
	err := bootstrapdata.Ensure(t.Context(), config(s))
	if !errors.Is(err, store.ErrUnreadable) {
		t.Fatal(err)
	}
	for resource, key := range spoiled {
		if !strings.Contains(err.Error(), key.Name) {
			t.Errorf("%s %s is not named: %v", resource, key.Name, err)
		}
	}
	get[*corev1.Namespace](t, s, "", "namespaces", store.Key{Name: "default"})
	get[*rbacv1.ClusterRole](t, s, rbacv1.GroupName, "clusterroles", store.Key{Name: "system:node"})
	get[*rbacv1.ClusterRoleBinding](t, s, rbacv1.GroupName, "clusterrolebindings", store.Key{Name: "cluster-admin"})
	for resource, key := range spoiled {
		name, group, _ := strings.Cut(resource, ".")
		c, _ := s.Collection(group, name)
		if _, err := c.Get(t.Context(), key, store.Freshness{}); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%s %s was replaced: %v", resource, key.Name, err)
		}
	}
}
