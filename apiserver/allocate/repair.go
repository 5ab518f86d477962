package allocate

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"hyperkube/store"
)

const (
	repairEvery = 10 * time.Minute
	// repairGrace is how long a write of a service may be under way before what
	// it took counts as leaked.
	repairGrace = time.Minute
	// repairTries is how often a look begins anew because node ports came and went meanwhile.
	repairTries = 5
)

// Run repairs at once and then now and then, until ctx ends. Several servers may
// run it side by side.
func (a *Allocator) Run(ctx context.Context) error {
	r := &repairer{a: a}
	defer r.forget()
	for wait := time.Duration(0); r.rest(ctx, wait); {
		again, err := r.look(ctx)
		if err != nil && ctx.Err() == nil {
			a.o.Log.Error("repair of service addresses and node ports failed; it will be tried again", "err", err)
		}
		wait = repairEvery
		if again {
			wait = repairGrace
		}
	}
	return nil
}

// repairer compares what is given out with what services hold. What is given out is read first:
// what a service holds at the later look and nobody gave out has been lost. Addresses that no
// service holds are freed after a minute; node ports, which carry no time, when they were taken
// and no service's at the look before too, and were never free in between.
type repairer struct {
	a     *Allocator
	ports suspects
}

// look repairs once. again: something may have leaked, or moved, so that the next look is due soon.
func (r *repairer) look(ctx context.Context) (again bool, err error) {
	addresses, err := r.a.givenAddresses(ctx)
	if err != nil {
		return false, err
	}
	for range repairTries {
		taken, err := r.taken(ctx)
		if err != nil {
			return false, err
		}
		held, err := r.a.held(ctx)
		if err != nil {
			return false, err
		}
		if addresses != nil {
			if again, err = r.a.repairAddresses(ctx, addresses, held); err != nil {
				return again, err
			}
			addresses = nil // once is enough
		}
		moved, err := r.repairPorts(ctx, taken, held)
		if err != nil || !moved {
			return again || r.ports.any(), err
		}
	}
	return true, nil
}

// holdings are what services hold.
type holdings struct {
	ips   map[netip.Addr]store.Key
	ports *big.Int
	// hidden: services are stored that cannot be read. What they hold is not known, so
	// nothing counts as leaked.
	hidden bool
}

func (a *Allocator) held(ctx context.Context) (holdings, error) {
	h := holdings{ips: map[netip.Addr]store.Key{}, ports: new(big.Int)}
	c, err := a.collection("", "services")
	if err != nil {
		return h, err
	}
	list, err := c.List(ctx, store.ListOptions{})
	if err != nil {
		return h, fmt.Errorf("listing services: %w", err)
	}
	if h.hidden = list.Unreadable > 0; h.hidden {
		a.o.Log.Warn("services are stored that cannot be read: no address or node port is freed before they are deleted or mended", "count", list.Unreadable)
	}
	for e := range list.Entries {
		s, ok := e.Object.(*corev1.Service)
		if !ok {
			continue
		}
		for _, text := range s.Spec.ClusterIPs {
			if ip, err := netip.ParseAddr(text); err == nil {
				h.ips[ip] = e.Key
			}
		}
		for _, port := range nodePorts(s) {
			if a.o.Ports.contains(port) {
				h.ports.SetBit(h.ports, int(port-a.o.Ports.First), 1)
			}
		}
	}
	return h, nil
}

func nodePorts(s *corev1.Service) (out []int32) {
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 {
			out = append(out, p.NodePort)
		}
	}
	if s.Spec.HealthCheckNodePort != 0 {
		out = append(out, s.Spec.HealthCheckNodePort)
	}
	return out
}

// givenAddresses lists the addresses that are given out; never nil without an error.
func (a *Allocator) givenAddresses(ctx context.Context) (map[netip.Addr]*store.Entry, error) {
	c, err := a.collection(addressGroup, addressPlural)
	if err != nil {
		return nil, err
	}
	list, err := c.List(ctx, store.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	out := map[netip.Addr]*store.Entry{}
	for e := range list.Entries {
		if ip, err := netip.ParseAddr(e.Key.Name); err == nil {
			out[ip] = e
		}
	}
	return out, nil
}

// repairAddresses frees what leaked and takes back what was lost. young: some are not held, and
// too new to count as leaked.
func (a *Allocator) repairAddresses(ctx context.Context, given map[netip.Addr]*store.Entry, held holdings) (young bool, err error) {
	c, err := a.collection(addressGroup, addressPlural)
	if err != nil {
		return false, err
	}
	for ip, e := range given {
		if holder, ok := held.ips[ip]; ok {
			if o, ok := e.Object.(*networkingv1.IPAddress); ok && !namesHolder(o, holder) {
				a.o.Log.Warn("service address is registered for somebody else", "ip", ip, "service", holder, "address", o.Spec.ParentRef)
			}
			continue
		}
		if held.hidden || !ours(e) {
			continue
		}
		if a.o.Now().Sub(e.Object.GetCreationTimestamp().Time) <= repairGrace {
			young = true
			continue
		}
		a.o.Log.Info("freeing a leaked service address", "ip", ip)
		if err := a.free(ctx, c, e); err != nil {
			return young, err
		}
	}
	for ip, service := range held.ips {
		if given[ip] != nil || !a.addresses.prefix.Contains(ip) {
			continue
		}
		if err := a.takeBack(ctx, c, service, ip); err != nil {
			return young, err
		}
	}
	return young, nil
}

// takeBack registers an address that a service holds alone. Services come and go meanwhile: one
// that is new has registered it itself, and for one that is gone it would leak.
func (a *Allocator) takeBack(ctx context.Context, c store.Collection, service store.Key, ip netip.Addr) error {
	switch _, err := c.Get(ctx, store.Key{Name: ip.String()}, store.Freshness{}); {
	case err == nil:
		return nil
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("reading address %s: %w", ip, err)
	}
	services, err := a.collection("", "services")
	if err != nil {
		return err
	}
	e, err := services.Get(ctx, service, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading service %s: %w", service, err)
	}
	if s, ok := e.Object.(*corev1.Service); !ok || !slices.Contains(s.Spec.ClusterIPs, ip.String()) {
		return nil
	}
	a.o.Log.Info("registering a service's address anew", "ip", ip, "service", service)
	if err := a.take(ctx, c, service, ip); err != nil && !errors.Is(err, ErrAllocated) {
		return err
	}
	return nil
}

func namesHolder(o *networkingv1.IPAddress, holder store.Key) bool {
	r := o.Spec.ParentRef
	return r != nil && r.Resource == "services" && r.Namespace == holder.Namespace && r.Name == holder.Name
}

// free deletes exactly the revision that was judged.
func (a *Allocator) free(ctx context.Context, c store.Collection, judged *store.Entry) error {
	_, err := c.Delete(ctx, judged.Key, func(e *store.Entry) error {
		if e.Revision != judged.Revision {
			return store.ErrConflict
		}
		return nil
	})
	if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return nil
	}
	return fmt.Errorf("freeing address %s: %w", judged.Key.Name, err)
}
