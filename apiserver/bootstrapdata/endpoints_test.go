package bootstrapdata

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"hyperkube/store"
	"hyperkube/store/etcd"
)

// twoServers are the stores of two API servers on one etcd.
func twoServers(t *testing.T, ttl int64) (near, far *store.Store) {
	t.Helper()
	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	member, err := etcd.Start(t.Context(), etcd.Config{Dir: t.TempDir(), Ephemeral: true, ListenClient: []string{socket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Stop)
	open := func(o store.Options) *store.Store {
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		leases := MasterLeases()
		leases.TTLSeconds = ttl
		for _, r := range []store.Resource{leases,
			{Name: "endpoints", Prefix: "services/endpoints", Namespaced: true, GVK: corev1.SchemeGroupVersion.WithKind("Endpoints"), New: func() store.Object { return &corev1.Endpoints{} }},
			{Group: "discovery.k8s.io", Name: "endpointslices", Prefix: "endpointslices", Namespaced: true, GVK: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), New: func() store.Object { return &discoveryv1.EndpointSlice{} }},
		} {
			if err := s.Register(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	return open(store.Options{Etcd: member}), open(store.Options{Servers: []string{socket}})
}

func of(s *store.Store, address string) *Endpoints {
	return &Endpoints{
		Reader: s, ServiceIP: netip.MustParseAddr("10.96.0.1"), Advertise: netip.MustParseAddrPort(address), Log: slog.New(slog.DiscardHandler),
	}
}

// shown is what the endpoints and the slice say, which must be the same.
func shown(t *testing.T, s *store.Store) string {
	t.Helper()
	get := func(group, resource string) store.Object {
		c, _ := s.Collection(group, resource)
		e, err := c.Get(t.Context(), store.Key{Namespace: "default", Name: "kubernetes"}, store.Freshness{})
		if err != nil {
			t.Fatal(err)
		}
		return e.Object
	}
	var old, now []string
	for _, sub := range get("", "endpoints").(*corev1.Endpoints).Subsets {
		for _, a := range sub.Addresses {
			old = append(old, fmt.Sprintf("%s:%d", a.IP, sub.Ports[0].Port))
		}
	}
	slice := get("discovery.k8s.io", "endpointslices").(*discoveryv1.EndpointSlice)
	for _, e := range slice.Endpoints {
		now = append(now, fmt.Sprintf("%s:%d", e.Addresses[0], *slice.Ports[0].Port))
	}
	if a, b := strings.Join(old, " "), strings.Join(now, " "); a != b {
		t.Errorf("endpoints %q, slice %q", a, b)
	}
	return strings.Join(now, " ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEndpointsOfTwoServers: each server adds itself and leaves the other alone,
// both repair what somebody else changes, and one that leaves takes itself off.
func TestEndpointsOfTwoServers(t *testing.T) {
	near, far := twoServers(t, leaseTTL)
	a, b := of(near, "192.0.2.1:6443"), of(far, "192.0.2.2:6443")
	expect := func(want string) {
		t.Helper()
		for _, s := range []*store.Store{near, far} {
			if got := shown(t, s); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	must(t, a.reconcile(t.Context()))
	expect("192.0.2.1:6443")
	must(t, b.reconcile(t.Context()))
	expect("192.0.2.1:6443 192.0.2.2:6443")
	must(t, a.reconcile(t.Context()))
	expect("192.0.2.1:6443 192.0.2.2:6443")
	c, _ := near.Collection("discovery.k8s.io", "endpointslices")
	before, err := c.Get(t.Context(), store.Key{Namespace: "default", Name: "kubernetes"}, store.Freshness{})
	must(t, err)
	must(t, b.reconcile(t.Context()))
	if after, err := c.Get(t.Context(), before.Key, store.Freshness{}); err != nil || after.Revision != before.Revision {
		t.Error("written again without need", err)
	}
	_, err = c.Update(t.Context(), before.Key, func(e *store.Entry) (store.Object, error) {
		s := e.Object.DeepCopyObject().(*discoveryv1.EndpointSlice)
		s.Endpoints, s.Labels = s.Endpoints[:1], nil
		s.Endpoints[0].Addresses = []string{"203.0.113.9"}
		return s, nil
	})
	must(t, err)
	old, _ := near.Collection("", "endpoints")
	_, err = old.Delete(t.Context(), before.Key, nil)
	must(t, err)
	must(t, b.reconcile(t.Context()))
	expect("192.0.2.1:6443 192.0.2.2:6443")
	must(t, a.leave(t.Context()))
	expect("192.0.2.2:6443")
	must(t, b.leave(t.Context())) // the last one leaves its address to its successor
	expect("192.0.2.2:6443")
}

// TestEndpointsOfAServerThatDied: nobody takes it off but time.
func TestEndpointsOfAServerThatDied(t *testing.T) {
	near, far := twoServers(t, 1)
	a, b := of(near, "192.0.2.1:6443"), of(far, "192.0.2.2:6443")
	must(t, a.reconcile(t.Context()))
	must(t, b.reconcile(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	leases, _ := near.Collection("", leasesPlural)
	w, err := leases.Watch(ctx, store.WatchOptions{Initial: true, Filter: store.Filter{Name: "192.0.2.2"}})
	must(t, err)
	defer w.Stop()
	for gone := false; !gone; {
		evs, err := w.Next(ctx)
		must(t, err)
		for _, ev := range evs {
			gone = ev.Type == "DELETED"
		}
	}
	must(t, a.reconcile(ctx))
	if got := shown(t, near); got != "192.0.2.1:6443" {
		t.Error(got)
	}
}

// TestEndpointsRun: a server that stops takes itself off.
func TestEndpointsRun(t *testing.T) {
	near, far := twoServers(t, leaseTTL)
	a, b := of(near, "192.0.2.1:6443"), of(far, "192.0.2.2:6443")
	must(t, a.reconcile(t.Context()))
	must(t, b.reconcile(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	cancel()
	must(t, <-done)
	if got := shown(t, near); got != "192.0.2.1:6443" {
		t.Error(got)
	}
}
