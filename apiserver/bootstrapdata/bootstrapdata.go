// Package bootstrapdata writes what every cluster has before its first user:
// the default policy, the system's namespaces and priority classes, the service
// "kubernetes" with the server's own address, the service range, and the CAs by
// which extension servers know this one.
//
// Contract: Ensure is idempotent, safe to run from several servers at once, and
// changes only what is missing or no longer true (this server's address, CAs). It
// writes straight to the store, all at the same time: a few etcd batches in all.
// The endpoints of the service "kubernetes" are kept by Endpoints from then on.
package bootstrapdata

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// Config of Ensure. Reader is required; what else is missing is not written.
type Config struct {
	Reader  store.Reader
	Network kind.Network
	// ServiceIP is the address of the service "kubernetes", Services its range.
	ServiceIP netip.Addr
	Services  []netip.Prefix
	// Advertise is how this server is reached by pods.
	Advertise netip.AddrPort
	Trust
	Now time.Time
}

// Ensure writes what is missing. What is stored and cannot be read is left as it
// is: when nothing else failed, the error is an ErrUnreadable that names it all.
func Ensure(ctx context.Context, c Config) error {
	g, ctx := errgroup.WithContext(ctx)
	w := &writer{Config: c, ctx: ctx, g: g, left: &bootstrap.Left{}, now: metav1.NewTime(c.Now.Truncate(time.Second))}
	g.Go(func() error { return w.left.Pass(bootstrap.Ensure(ctx, c.Reader, c.Now)) })
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		write(w, "", "namespaces", namespace(name), keep)
	}
	for _, p := range priorityClasses() {
		write(w, schedulingv1.GroupName, "priorityclasses", p, keep)
	}
	if len(c.Services) > 0 {
		write(w, networkingv1.GroupName, "servicecidrs", w.serviceCIDR(), keep)
	}
	if c.ServiceIP.IsValid() && c.Advertise.IsValid() {
		g.Go(func() error { return w.left.Pass(w.kubernetesService()) })
		first := Endpoints{Reader: c.Reader, ServiceIP: c.ServiceIP, Advertise: c.Advertise}
		g.Go(func() error { return w.left.Pass(first.reconcile(ctx)) })
	}
	w.trust()
	if err := g.Wait(); err != nil {
		return err
	}
	return w.left.Err()
}

type writer struct {
	Config
	left *bootstrap.Left
	ctx  context.Context
	g    *errgroup.Group
	now  metav1.Time
}

// object is a pointer to a published type.
type object[T any] interface {
	*T
	store.Object
}

// keep leaves what is there as it is.
func keep[T any](_, _ T) bool { return false }

// write creates want, or lets update bring a copy of the present object up to it.
// update reports whether it changed anything.
func write[T any, P object[T]](w *writer, group, resource string, want P, update func(have, want P) bool) {
	w.g.Go(func() error {
		if err := ensure(w, group, resource, want, update); err != nil {
			return w.left.Pass(fmt.Errorf("bootstrapping %s %s: %w", resource, want.GetName(), err))
		}
		return nil
	})
}

func ensure[T any, P object[T]](w *writer, group, resource string, want P, update func(have, want P) bool) error {
	c, ok := w.Reader.Collection(group, resource)
	if !ok {
		return nil // not served
	}
	key := store.Key{Namespace: want.GetNamespace(), Name: want.GetName()}
	if _, err := c.Get(w.ctx, key, store.Freshness{}); errors.Is(err, store.ErrNotFound) {
		want.SetUID(uuid.NewUUID())
		want.SetCreationTimestamp(w.now)
		if _, err := c.Create(w.ctx, want); !errors.Is(err, store.ErrExists) {
			return err
		}
	} else if err != nil {
		return err
	}
	_, err := c.Update(w.ctx, key, func(e *store.Entry) (store.Object, error) {
		have, ok := e.Object.DeepCopyObject().(P)
		if !ok || !update(have, want) {
			return e.Object, nil
		}
		return have, nil
	})
	return err
}

// kubernetesService takes the first address of the range and then the name. If
// the address is taken but the service is not there, an earlier start was cut
// short: the address is ours.
func (w *writer) kubernetesService() error {
	svc := w.service()
	c, ok := w.Reader.Collection("", "services")
	if !ok {
		return nil
	}
	key := store.Key{Namespace: svc.Namespace, Name: svc.Name}
	_, err := c.Get(w.ctx, key, store.Freshness{})
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if w.Network != nil {
		if _, err := w.Network.AllocateIP(w.ctx, key, w.ServiceIP.String()); err != nil && !w.holdsAddress() {
			return fmt.Errorf("taking the address of service kubernetes: %w", err)
		}
	}
	return ensure(w, "", "services", svc, keep)
}

// holdsAddress: the address object names the service kubernetes.
func (w *writer) holdsAddress() bool {
	c, ok := w.Reader.Collection(networkingv1.GroupName, "ipaddresses")
	if !ok {
		return false
	}
	e, err := c.Get(w.ctx, store.Key{Name: w.ServiceIP.String()}, store.Freshness{})
	if err != nil {
		return false
	}
	ip, ok := e.Object.(*networkingv1.IPAddress)
	return ok && ip.Spec.ParentRef != nil && ip.Spec.ParentRef.Namespace == metav1.NamespaceDefault && ip.Spec.ParentRef.Name == serviceName
}
