package allocate

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/store"
)

// portsKey is where all servers keep the ports that are taken:
// /registry/ranges/servicenodeports.
const (
	portsPlural = "rangeallocations"
	portsName   = "servicenodeports"
)

// Resource must be registered with the store beside the kinds' resources.
func Resource() store.Resource {
	return store.Resource{
		Name: portsPlural, Prefix: "ranges",
		GVK: corev1.SchemeGroupVersion.WithKind("RangeAllocation"),
		New: func() store.Object { return &corev1.RangeAllocation{} },
	}
}

// AllocatePort takes a node port: want, or any free one when want is 0. It fails
// with ErrPortTaken, ErrFull or a *NotInRange.
func (a *Allocator) AllocatePort(ctx context.Context, _ store.Key, want int32) (int32, error) {
	if want != 0 && !a.o.Ports.contains(want) {
		return 0, &NotInRange{What: "port", Value: strconv.Itoa(int(want)), Range: a.o.Ports.String()}
	}
	got := want
	err := a.changePorts(ctx, func(_ int64, bits *big.Int) error {
		if want != 0 {
			bit := int(want - a.o.Ports.First)
			if bits.Bit(bit) == 1 {
				return ErrPortTaken
			}
			bits.SetBit(bits, bit, 1)
			return nil
		}
		bit, ok := freeBit(bits, a.o.Ports.size(), a.o.Random)
		if !ok {
			return ErrFull
		}
		bits.SetBit(bits, bit, 1)
		got = a.o.Ports.First + int32(bit)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return got, nil
}

// CheckPort tells whether AllocatePort would grant want, for dry runs.
func (a *Allocator) CheckPort(ctx context.Context, want int32) error {
	if !a.o.Ports.contains(want) {
		return &NotInRange{What: "port", Value: strconv.Itoa(int(want)), Range: a.o.Ports.String()}
	}
	bits, err := a.takenPorts(ctx)
	if err == nil && bits.Bit(int(want-a.o.Ports.First)) == 1 {
		return ErrPortTaken
	}
	return err
}

// ReleasePort gives a port back; a free one stays free.
func (a *Allocator) ReleasePort(ctx context.Context, port int32) {
	if !a.o.Ports.contains(port) {
		return
	}
	err := a.changePorts(ctx, func(_ int64, bits *big.Int) error {
		bits.SetBit(bits, int(port-a.o.Ports.First), 0)
		return nil
	})
	if err != nil {
		a.o.Log.Warn("node port not released; the repair loop will", "port", port, "err", err)
	}
}

// takenPorts reads the bits; a range nobody wrote has none.
func (a *Allocator) takenPorts(ctx context.Context) (*big.Int, error) {
	c, err := a.collection("", portsPlural)
	if err != nil {
		return nil, err
	}
	e, err := c.Get(ctx, store.Key{Name: portsName}, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		return new(big.Int), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the taken node ports: %w", err)
	}
	return a.decode(e.Object.(*corev1.RangeAllocation)), nil
}

// decode reads the bits; those of another range (the flag was changed) are void,
// and the repair loop writes them anew.
func (a *Allocator) decode(r *corev1.RangeAllocation) *big.Int {
	if r.Range != a.o.Ports.String() {
		return new(big.Int)
	}
	return new(big.Int).SetBytes(r.Data)
}

// changePorts changes the bits, as they are at a revision, in one transaction, making the object
// first when there is none: its revision is 0 to change then.
func (a *Allocator) changePorts(ctx context.Context, change func(rev int64, bits *big.Int) error) error {
	c, err := a.collection("", portsPlural)
	if err != nil {
		return err
	}
	var made int64
	for {
		_, err = c.Update(ctx, store.Key{Name: portsName}, func(e *store.Entry) (store.Object, error) {
			live := e.Object.(*corev1.RangeAllocation)
			bits := a.decode(live)
			rev := e.Revision
			if rev == made { // empty, as nobody else has written it
				rev = 0
			}
			if err := change(rev, bits); err != nil {
				return nil, err
			}
			next := *live
			next.Range, next.Data = a.o.Ports.String(), bits.Bytes()
			return &next, nil
		})
		if !errors.Is(err, store.ErrNotFound) {
			break
		}
		var e *store.Entry
		e, err = c.Create(ctx, &corev1.RangeAllocation{
			ObjectMeta: metav1.ObjectMeta{Name: portsName}, Range: a.o.Ports.String(),
		})
		if err == nil {
			made = e.Revision
		}
		if err != nil && !errors.Is(err, store.ErrExists) {
			break
		}
	}
	if err == nil || errors.Is(err, ErrPortTaken) || errors.Is(err, ErrFull) || errors.Is(err, errMoved) {
		return err
	}
	return fmt.Errorf("changing the taken node ports: %w", err)
}
