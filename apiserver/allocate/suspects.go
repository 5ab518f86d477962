package allocate

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/store"
)

// suspects are node ports that were taken and that no service held at the last look. The range is
// followed from then on: a port that was free in between has been taken anew since, and whoever
// took it may be about to write the service.
//
//	look ─▶ bits ── range changes: bits of free ports drop out ──▶ next look: what is left, and still
//	                                                               no service's, has leaked
type suspects struct {
	bits  *big.Int // nil: none
	watch store.Watcher
	seen  int64 // the range is followed up to this revision
}

func (s *suspects) any() bool { return s.bits != nil && s.bits.Sign() != 0 }

// forget gives the suspicion up: nothing has leaked before two more looks.
func (r *repairer) forget() {
	if r.ports.watch != nil {
		r.ports.watch.Stop()
	}
	r.ports = suspects{}
}

// rest follows the range for d; false when ctx ends.
func (r *repairer) rest(ctx context.Context, d time.Duration) bool {
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for r.ports.watch != nil && limit.Err() == nil {
		if err := r.follow(limit); err != nil && limit.Err() == nil {
			r.forget()
		}
	}
	<-limit.Done()
	return ctx.Err() == nil
}

// follow takes in what happened to the range.
func (r *repairer) follow(ctx context.Context) error {
	events, err := r.ports.watch.Next(ctx)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Entry == nil || e.Entry.Key.Name != portsName {
			continue
		}
		taken := new(big.Int)
		if e.Type != watch.Deleted {
			taken = r.a.decode(e.Entry.Object.(*corev1.RangeAllocation))
		}
		if r.ports.seen = e.Entry.Revision; r.ports.bits != nil {
			r.ports.bits.And(r.ports.bits, taken)
		}
	}
	return nil
}

// portsTaken is the range as it was at a revision; 0: nobody wrote it yet.
type portsTaken struct {
	bits *big.Int
	rev  int64
}

// taken reads the range and follows it up to there.
func (r *repairer) taken(ctx context.Context) (portsTaken, error) {
	c, err := r.a.collection("", portsPlural)
	if err != nil {
		return portsTaken{}, err
	}
	if r.ports.watch == nil {
		if r.ports.watch, err = c.Watch(ctx, store.WatchOptions{Initial: true, Latest: true}); err != nil {
			r.forget()
			return portsTaken{}, fmt.Errorf("following the taken node ports: %w", err)
		}
	}
	e, err := c.Get(ctx, store.Key{Name: portsName}, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		return portsTaken{bits: new(big.Int)}, nil
	}
	if err != nil {
		return portsTaken{}, fmt.Errorf("reading the taken node ports: %w", err)
	}
	limit, cancel := context.WithTimeout(ctx, repairGrace)
	defer cancel()
	for r.ports.seen < e.Revision {
		if err := r.follow(limit); err != nil {
			r.forget()
			return portsTaken{}, fmt.Errorf("following the taken node ports: %w", err)
		}
	}
	return portsTaken{bits: r.a.decode(e.Object.(*corev1.RangeAllocation)), rev: e.Revision}, nil
}

// errMoved: ports came or went since they were read.
var errMoved = errors.New("the taken node ports have changed meanwhile")

// repairPorts sets the bits of ports that services hold and clears those that leaked, if the range
// is still what was read before the services were. moved: it is not, and nothing was done.
func (r *repairer) repairPorts(ctx context.Context, taken portsTaken, held holdings) (moved bool, err error) {
	idle := new(big.Int).AndNot(taken.bits, held.ports)
	leaked := new(big.Int)
	if r.ports.bits != nil && !held.hidden {
		leaked.And(idle, r.ports.bits)
	}
	missing := new(big.Int).AndNot(held.ports, taken.bits)
	if leaked.Sign() != 0 || missing.Sign() != 0 {
		switch err := r.correct(ctx, taken.rev, leaked, missing); {
		case errors.Is(err, errMoved):
			return true, nil
		case err != nil:
			return false, err
		}
	}
	if r.ports.bits = idle.AndNot(idle, leaked); !r.ports.any() {
		r.forget()
	}
	return false, nil
}

func (r *repairer) correct(ctx context.Context, rev int64, leaked, missing *big.Int) error {
	err := r.a.changePorts(ctx, func(now int64, bits *big.Int) error {
		if now != rev {
			return errMoved
		}
		bits.AndNot(bits, leaked)
		bits.Or(bits, missing)
		return nil
	})
	if err == nil {
		r.a.o.Log.Info("repaired the taken node ports", "leaked", popCount(leaked), "missing", popCount(missing))
	}
	return err
}

func popCount(b *big.Int) (n int) {
	for i := range b.BitLen() {
		n += int(b.Bit(i))
	}
	return n
}
