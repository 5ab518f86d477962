package bootstrapdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/trouble"
	"hyperkube/store"
)

// Each API server holds a lease under /registry/masterleases/<its address>, in
// the standard form, so that servers of any make that share an etcd know of each
// other. Whose lease runs out is taken off the service kubernetes by the others.
const (
	leasesPlural = "masterleases"
	leaseTTL     = 15 // seconds
	// reconcileEvery is how often a server renews its lease and repairs the endpoints.
	reconcileEvery = 10 * time.Second
	reconcileLimit = 8 * time.Second
	// leaveLimit bounds the last round, when the server stops.
	leaveLimit = 3 * time.Second
)

// MasterLeases must be registered with the store beside the kinds' resources.
func MasterLeases() store.Resource {
	return store.Resource{
		Name: leasesPlural, Prefix: leasesPlural, TTLSeconds: leaseTTL,
		GVK: corev1.SchemeGroupVersion.WithKind("Endpoints"),
		New: func() store.Object { return &corev1.Endpoints{} },
	}
}

// Endpoints keeps the endpoints of the service kubernetes: the addresses of the
// API servers whose lease is good, whatever anybody else writes there.
type Endpoints struct {
	Reader    store.Reader
	ServiceIP netip.Addr
	Advertise netip.AddrPort // of this server
	Log       *slog.Logger
}

// Run renews and repairs until ctx ends, and then takes this server off.
func (e *Endpoints) Run(ctx context.Context) error {
	told := trouble.New(e.Log, nil, "keeping the endpoints of the service kubernetes")
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
			defer cancel()
			if err := e.leave(last); err != nil && !errors.Is(err, store.ErrClosed) {
				told.Failed(err)
			}
			return nil
		case <-tick.C:
		}
		round, cancel := context.WithTimeout(ctx, reconcileLimit)
		err := e.reconcile(round)
		cancel()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			told.Failed(err)
		default:
			told.Well()
		}
	}
}

// reconcile renews this server's lease and makes the endpoints those of all leases.
func (e *Endpoints) reconcile(ctx context.Context) error {
	if err := e.renew(ctx); err != nil {
		return fmt.Errorf("renewing the lease of this API server: %w", err)
	}
	return e.publish(ctx)
}

// leave gives the lease up; the others' addresses stay.
func (e *Endpoints) leave(ctx context.Context) error {
	c, ok := e.Reader.Collection("", leasesPlural)
	if !ok {
		return nil
	}
	if _, err := c.Delete(ctx, store.Key{Name: e.Advertise.Addr().String()}, nil); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("giving up the lease of this API server: %w", err)
	}
	return e.publish(ctx)
}

func (e *Endpoints) renew(ctx context.Context) error {
	c, ok := e.Reader.Collection("", leasesPlural)
	if !ok {
		return errors.New("the store does not hold them")
	}
	name := e.Advertise.Addr().String()
	lease := func() *corev1.Endpoints {
		return &corev1.Endpoints{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Subsets:    []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: name}}}},
		}
	}
	for {
		_, err := c.Update(ctx, store.Key{Name: name}, func(have *store.Entry) (store.Object, error) {
			next := lease()
			next.Generation = have.Object.GetGeneration() + 1 // a write that changes nothing is none
			return next, nil
		})
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if _, err := c.Create(ctx, lease()); !errors.Is(err, store.ErrExists) {
			return err
		}
	}
}

// publish writes what the leases say, if something else is there. Without any
// lease it leaves what is there: wrong addresses beat none.
func (e *Endpoints) publish(ctx context.Context) error {
	leases, err := e.leases(ctx)
	if err != nil || len(leases) == 0 {
		return err
	}
	w := &writer{Config: Config{Reader: e.Reader, ServiceIP: e.ServiceIP, Advertise: e.Advertise}, ctx: ctx, now: metav1.NewTime(time.Now().Truncate(time.Second))}
	err = ensure(w, "", "endpoints", w.endpoints(leases), func(have, want *corev1.Endpoints) bool {
		same := equality.Semantic.DeepEqual(have.Subsets, want.Subsets) && have.Labels[discoveryv1.LabelSkipMirror] == "true"
		have.Subsets = want.Subsets
		metav1.SetMetaDataLabel(&have.ObjectMeta, discoveryv1.LabelSkipMirror, "true")
		return !same
	})
	if err != nil {
		return fmt.Errorf("writing the endpoints of the service kubernetes: %w", err)
	}
	err = ensure(w, discoveryv1.GroupName, "endpointslices", w.endpointSlice(leases), func(have, want *discoveryv1.EndpointSlice) bool {
		same := equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports) &&
			have.Labels[discoveryv1.LabelServiceName] == serviceName
		have.Endpoints, have.Ports = want.Endpoints, want.Ports
		metav1.SetMetaDataLabel(&have.ObjectMeta, discoveryv1.LabelServiceName, serviceName)
		return !same
	})
	if err != nil {
		return fmt.Errorf("writing the endpoint slice of the service kubernetes: %w", err)
	}
	return nil
}

// leases are the addresses that hold one, in order, of the family of this server.
func (e *Endpoints) leases(ctx context.Context) ([]netip.Addr, error) {
	c, ok := e.Reader.Collection("", leasesPlural)
	if !ok {
		return nil, nil
	}
	l, err := c.List(ctx, store.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the leases of the API servers: %w", err)
	}
	var out []netip.Addr
	for entry := range l.Entries {
		if a, err := netip.ParseAddr(entry.Key.Name); err == nil && a.Is4() == e.Advertise.Addr().Is4() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b netip.Addr) int { return cmp.Compare(a.String(), b.String()) })
	return out, nil
}
