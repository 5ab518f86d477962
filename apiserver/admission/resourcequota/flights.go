package resourcequota

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/api/quota"
	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// flights are the objects that were charged and are not known to be stored.
//
// A turn at a quota covers the charge and its beginning to fly, so that whoever
// counts in a turn of its own sees either both or neither. Nobody writes a count
// in a turn: a charge in between makes that write's transaction begin again.
type flights struct {
	seed  maphash.Seed
	turns [32]chan struct{} // by quota; two quotas may share one

	mu  sync.Mutex
	now map[store.Key]map[types.UID]flight // by quota
}

type flight struct {
	resource schema.GroupResource
	object   store.Object
}

func newFlights() *flights {
	f := &flights{seed: maphash.MakeSeed(), now: map[store.Key]map[types.UID]flight{}}
	for i := range f.turns {
		f.turns[i] = make(chan struct{}, 1)
	}
	return f
}

// enter waits for a turn at the quota.
func (f *flights) enter(ctx context.Context, q store.Key) (leave func(), err error) {
	turn := f.turns[maphash.Comparable(f.seed, q)%uint64(len(f.turns))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *flights) begin(q store.Key, a *admission.Attributes) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now[q] == nil {
		f.now[q] = map[types.UID]flight{}
	}
	f.now[q][a.Object.GetUID()] = flight{a.Info.GVR().GroupResource(), a.Object.DeepCopyObject().(store.Object)} // the store owns the object itself
}

func (f *flights) land(q store.Key, uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if delete(f.now[q], uid); len(f.now[q]) == 0 {
		delete(f.now, q)
	}
}

func (f *flights) of(q store.Key) map[types.UID]flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.now[q])
}

// truth measures what is stored, and in flight, of everything that the quota
// limits. What flies was charged: it counts as it will be, not as it is stored.
func (p *Plugin) truth(ctx context.Context, q *corev1.ResourceQuota) (corev1.ResourceList, error) {
	flying := p.flights.of(store.Key{Namespace: q.Namespace, Name: q.Name}) // before the lists: what lands between is in them
	return quota.Total(q, func(gr schema.GroupResource) ([]store.Object, error) {
		c, ok := p.r.Collection(gr.Group, gr.Resource)
		if !ok {
			return nil, nil
		}
		l, err := c.List(ctx, store.ListOptions{Filter: store.Filter{Namespace: q.Namespace}})
		if err != nil {
			return nil, err
		}
		var out []store.Object
		for e := range l.Entries {
			if _, also := flying[e.Object.GetUID()]; !also {
				out = append(out, e.Object)
			}
		}
		for f := range maps.Values(flying) {
			if f.resource == gr {
				out = append(out, f.object)
			}
		}
		return out, nil
	})
}

// Admit implements admission.Mutator: a count that lowers what is used is checked,
// since it may have been made before what is charged was stored.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	next, ok := a.Object.(*corev1.ResourceQuota)
	old, was := a.Old.(*corev1.ResourceQuota)
	if !ok || !was || !isCount(a) {
		return nil
	}
	lowered := lower(next.Status.Used, old.Status.Used)
	if len(lowered) == 0 {
		return nil
	}
	leave, err := p.flights.enter(ctx, store.Key{Namespace: old.Namespace, Name: old.Name})
	if err != nil {
		return err
	}
	defer leave()
	truth, err := p.truth(ctx, old)
	if err != nil {
		return err
	}
	for _, name := range lowered {
		if is := truth[name]; is.Cmp(next.Status.Used[name]) > 0 {
			next.Status.Used[name] = is
		}
	}
	return nil
}

// lower are the names of which next has less than old.
func lower(next, old corev1.ResourceList) []corev1.ResourceName {
	var out []corev1.ResourceName
	for name, is := range next {
		if was, ok := old[name]; ok && is.Cmp(was) < 0 {
			out = append(out, name)
		}
	}
	return slices.Clip(out)
}
