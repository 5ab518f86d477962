package allocate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"k8s.io/apimachinery/pkg/types"

	"hyperkube/store"
)

const (
	addressGroup  = "networking.k8s.io"
	addressPlural = "ipaddresses"
	// ManagedBy marks the addresses that this package looks after.
	ManagedBy = "ipallocator.k8s.io"
)

// AllocateIP takes an address for the service: want, or any free one when want
// is empty. It fails with ErrAllocated, ErrFull or a *NotInRange.
func (a *Allocator) AllocateIP(ctx context.Context, service store.Key, want string) (string, error) {
	c, err := a.collection(addressGroup, addressPlural)
	if err != nil {
		return "", err
	}
	if want != "" {
		ip, err := a.addresses.parse(want)
		if err != nil {
			return "", err
		}
		return want, a.take(ctx, c, service, ip)
	}
	var got netip.Addr
	err = a.addresses.search(a.o.Random, func(ip netip.Addr) (bool, error) {
		// A look at the snapshot costs far less than a refused transaction.
		if _, err := c.Get(ctx, store.Key{Name: ip.String()}, store.Freshness{Any: true}); !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		err := a.take(ctx, c, service, ip)
		if errors.Is(err, ErrAllocated) {
			return false, nil
		}
		got = ip
		return err == nil, err
	})
	if err != nil {
		return "", err
	}
	return got.String(), nil
}

func (a *Allocator) take(ctx context.Context, c store.Collection, service store.Key, ip netip.Addr) error {
	_, err := c.Create(ctx, a.addressObject(service, ip))
	switch {
	case errors.Is(err, store.ErrExists):
		return ErrAllocated
	case err != nil:
		return fmt.Errorf("taking address %s: %w", ip, err)
	}
	return nil
}

func (a *Allocator) addressObject(service store.Key, ip netip.Addr) *networkingv1.IPAddress {
	family := "IPv6"
	if ip.Is4() {
		family = "IPv4"
	}
	return &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{
			Name:              ip.String(),
			UID:               types.UID(uuid.NewUUID()),
			Generation:        1,
			CreationTimestamp: metav1.NewTime(a.o.Now()).Rfc3339Copy(),
			Labels:            map[string]string{networkingv1.LabelIPAddressFamily: family, networkingv1.LabelManagedBy: ManagedBy},
		},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: service.Namespace, Name: service.Name,
		}},
	}
}

// ReleaseIP gives an address back. One that is free already, or that belongs to
// no service, stays as it is.
func (a *Allocator) ReleaseIP(ctx context.Context, text string) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return
	}
	c, err := a.collection(addressGroup, addressPlural)
	if err == nil {
		_, err = c.Delete(ctx, store.Key{Name: ip.String()}, func(e *store.Entry) error {
			if !ours(e) {
				return store.ErrNotFound
			}
			return nil
		})
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		a.o.Log.Warn("address not released; the repair loop will", "ip", text, "err", err)
	}
}

// ours: the address was given out here.
func ours(e *store.Entry) bool {
	o, ok := e.Object.(*networkingv1.IPAddress)
	return ok && o.Labels[networkingv1.LabelManagedBy] == ManagedBy
}
