// Package allocate gives out service addresses and node ports.
//
//	BeforeCreate/BeforeUpdate of a service ──AllocateIP/AllocatePort──▶ Allocator
//	                                                                     │
//	 address: one IPAddress object, created or refused ◀─────────────────┤
//	 port:    one bit of the RangeAllocation, set in a transaction ◀─────┘
//
// Contract: an allocation is held by the store, not by memory, so several
// servers never give out the same thing twice: an address is taken by whoever
// creates the IPAddress object of that name, a port by whoever sets its bit.
// Nothing is cached; a free address is looked up in the store's snapshot.
//
// Ranges are cut in two (KEP-3070, KEP-3668): addresses and ports that nobody
// named come from the upper band while it lasts, so that those people write into
// manifests, which are mostly the first ones, stay free. The first address (the
// service "kubernetes") and the tenth (DNS) are never given out unasked.
//
// A crash between allocation and the write of the service leaks; Run finds and
// frees what no service holds, and takes back what a service holds alone.
package allocate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// PortRange is a closed range of node ports.
type PortRange struct{ First, Last int32 }

func (r PortRange) String() string           { return fmt.Sprintf("%d-%d", r.First, r.Last) }
func (r PortRange) size() int                { return int(r.Last-r.First) + 1 }
func (r PortRange) contains(port int32) bool { return port >= r.First && port <= r.Last }

// DefaultPorts are the node ports of a cluster that names none.
func DefaultPorts() PortRange { return PortRange{First: 30000, Last: 32767} }

// Options of an Allocator. Store and Services are required.
type Options struct {
	Log      *slog.Logger
	Store    store.Reader // holds services, ipaddresses and the range allocation
	Services netip.Prefix // --service-cluster-ip-range
	Ports    PortRange    // zero: DefaultPorts
	Now      func() time.Time
	// Random picks where a search starts: a number in [0, n). nil: math/rand.
	Random func(n uint64) uint64
}

// Allocator is the kind.Network of a server.
type Allocator struct {
	o         Options
	addresses addressRange
}

var _ kind.Network = (*Allocator)(nil)

// New checks the ranges. The store may be opened later.
func New(o Options) (*Allocator, error) {
	if o.Store == nil {
		return nil, errors.New("allocator: Store is required")
	}
	r, err := newAddressRange(o.Services)
	if err != nil {
		return nil, fmt.Errorf("service addresses: %w", err)
	}
	if o.Ports == (PortRange{}) {
		o.Ports = DefaultPorts()
	}
	if o.Ports.First < 1 || o.Ports.Last > 65535 || o.Ports.First > o.Ports.Last {
		return nil, fmt.Errorf("node ports: %s is not a range of ports", o.Ports)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = random
	}
	return &Allocator{o: o, addresses: r}, nil
}

// Family of the service addresses.
func (a *Allocator) Family() corev1.IPFamily {
	if a.addresses.prefix.Addr().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// Kubernetes is the address of the service "kubernetes", DNS that of the
// cluster's name server: the first and the tenth of the range.
func (a *Allocator) Kubernetes() netip.Addr { return a.addresses.at(1) }

// DNS is the tenth address.
func (a *Allocator) DNS() netip.Addr { return a.addresses.at(10) }

// Errors of allocations; their text reaches users.
var (
	ErrAllocated = errors.New("provided IP is already allocated")
	ErrPortTaken = errors.New("provided port is already allocated")
	ErrFull      = errors.New("range is full")
)

// NotInRange is the refusal of an address or port outside the range.
type NotInRange struct{ What, Value, Range string }

func (e *NotInRange) Error() string {
	return fmt.Sprintf("the provided %s (%s) is not in the valid range. The range of valid %ss is %s", e.What, e.Value, e.What, e.Range)
}

func (a *Allocator) collection(group, plural string) (store.Collection, error) {
	c, ok := a.o.Store.Collection(group, plural)
	if !ok {
		return nil, fmt.Errorf("allocator: the store holds no %s", plural)
	}
	return c, nil
}

// CheckIP tells whether AllocateIP would grant want, for dry runs.
func (a *Allocator) CheckIP(ctx context.Context, want string) error {
	ip, err := a.addresses.parse(want)
	if err != nil {
		return err
	}
	c, err := a.collection(addressGroup, addressPlural)
	if err != nil {
		return err
	}
	switch _, err := c.Get(ctx, store.Key{Name: ip.String()}, store.Freshness{}); {
	case err == nil:
		return ErrAllocated
	case errors.Is(err, store.ErrNotFound):
		return nil
	default:
		return fmt.Errorf("looking for address %s: %w", want, err)
	}
}
