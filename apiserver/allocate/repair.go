package allocate

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
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
)

// Run repairs at once and then now and then, until ctx ends. Several servers may
// run it side by side.
func (a *Allocator) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var suspects *big.Int
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		next, err := a.Repair(ctx, suspects)
		if err != nil && ctx.Err() == nil {
			a.o.Log.Error("repair of service addresses and node ports failed; it will be tried again", "err", err)
		}
		wait := repairEvery
		if next != nil && next.Sign() != 0 {
			wait = repairGrace
		}
		suspects = next
		timer.Reset(wait)
	}
}

// Repair compares what is given out with what services hold. Addresses that no
// service holds are freed after a minute; node ports, which carry no time, when
// they were free of a service at the Repair before too: suspects is what that one
// returned, nil at first.
func (a *Allocator) Repair(ctx context.Context, suspects *big.Int) (*big.Int, error) {
	held, err := a.held(ctx)
	if err != nil {
		return suspects, err
	}
	if err := a.repairAddresses(ctx, held); err != nil {
		return suspects, err
	}
	return a.repairPorts(ctx, held, suspects)
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

func (a *Allocator) repairAddresses(ctx context.Context, held holdings) error {
	c, err := a.collection(addressGroup, addressPlural)
	if err != nil {
		return err
	}
	list, err := c.List(ctx, store.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	known := map[netip.Addr]bool{}
	for e := range list.Entries {
		ip, err := netip.ParseAddr(e.Key.Name)
		if err != nil {
			continue
		}
		known[ip] = true
		if holder, ok := held.ips[ip]; ok {
			if o, ok := e.Object.(*networkingv1.IPAddress); ok && !namesHolder(o, holder) {
				a.o.Log.Warn("service address is registered for somebody else", "ip", ip, "service", holder, "address", o.Spec.ParentRef)
			}
			continue
		}
		if !held.hidden && ours(e) && a.o.Now().Sub(e.Object.GetCreationTimestamp().Time) > repairGrace {
			a.o.Log.Info("freeing a leaked service address", "ip", ip)
			if err := a.free(ctx, c, e); err != nil {
				return err
			}
		}
	}
	for ip, service := range held.ips {
		if known[ip] || !a.addresses.prefix.Contains(ip) {
			continue
		}
		a.o.Log.Info("registering a service's address anew", "ip", ip, "service", service)
		if err := a.take(ctx, c, service, ip); err != nil && !errors.Is(err, ErrAllocated) {
			return err
		}
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

// repairPorts sets the bits of ports that services hold and clears those that
// nobody held twice in a row. It returns the ports to look at again.
func (a *Allocator) repairPorts(ctx context.Context, held holdings, suspects *big.Int) (*big.Int, error) {
	taken, err := a.takenPorts(ctx)
	if err != nil {
		return suspects, err
	}
	idle := new(big.Int).AndNot(taken, held.ports)
	leaked := new(big.Int)
	if suspects != nil && !held.hidden {
		leaked.And(idle, suspects)
	}
	missing := new(big.Int).AndNot(held.ports, taken)
	if leaked.Sign() == 0 && missing.Sign() == 0 {
		return idle, nil
	}
	a.o.Log.Info("repairing the taken node ports", "leaked", popCount(leaked), "missing", popCount(missing))
	err = a.changePorts(ctx, func(bits *big.Int) error {
		bits.AndNot(bits, leaked)
		bits.Or(bits, missing)
		return nil
	})
	return idle.AndNot(idle, leaked), err
}

func popCount(b *big.Int) (n int) {
	for i := range b.BitLen() {
		n += int(b.Bit(i))
	}
	return n
}
