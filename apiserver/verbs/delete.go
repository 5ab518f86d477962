package verbs

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/codec"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

func (c *call) delete() error {
	o, err := c.deleteOptions()
	if err != nil {
		return err
	}
	e, removed, err := c.remove(c.key, o)
	if wantsDiscard(err, o) {
		return c.discard(o)
	}
	if err != nil {
		return err
	}
	if removed && !c.ep.Kind.ReturnDeleted {
		return c.sendSuccess(e.Object)
	}
	code := http.StatusOK
	if o.OrphanDependents != nil && !*o.OrphanDependents {
		code = http.StatusAccepted
	}
	return c.sendWritten(code, e)
}

// deleteOptions reads them from the body, or from the query when there is none.
func (c *call) deleteOptions() (*metav1.DeleteOptions, error) {
	o := &metav1.DeleteOptions{}
	body, err := c.bodies.Read(c.r)
	if err != nil {
		return nil, err
	}
	defer c.bodies.Put(body)
	switch {
	case body.Len() > 0:
		if err := c.decodeDeleteOptions(body.Bytes(), o); err != nil {
			return nil, err
		}
	case c.query != nil:
		if err := metav1.Convert_url_Values_To_v1_DeleteOptions(&c.query, o, nil); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	if len(o.DryRun) == 0 {
		o.DryRun = c.query["dryRun"]
	}
	if errs := validation.ValidateDeleteOptions(o); len(errs) > 0 {
		return nil, invalid.New(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	return o, nil
}

// decodeDeleteOptions takes them in any group-version, as clients send them.
func (c *call) decodeDeleteOptions(body []byte, o *metav1.DeleteOptions) error {
	wire, err := codec.MediaOf(c.r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	return codec.DecodeOptions(wire, body, o, "DeleteOptions")
}

// errKeep: the object must be marked instead of removed.
var errKeep = errors.New("the object stays for now")

// verdict is the object for whose removal admission was asked last. It is asked once,
// and again only when what would go is another revision than the one it judged.
type verdict struct {
	uid      types.UID
	revision int64
}

// removeTries bounds how often a removal begins again because the object was held
// and let go meanwhile.
const removeTries = 100

// remove deletes the object at key or marks it as being deleted, and says which.
func (c *call) remove(key store.Key, o *metav1.DeleteOptions) (e *store.Entry, removed bool, err error) {
	v := &verdict{}
	for range removeTries {
		e, err = c.removeNow(key, o, v)
		if !errors.Is(err, errKeep) {
			return e, err == nil, c.explain(err, key.Name)
		}
		e, err = c.mark(key, o, v)
		if !errors.Is(err, errChanged) {
			return e, false, c.explain(err, key.Name)
		}
	}
	return nil, false, c.stale(key.Name)
}

func (c *call) removeNow(key store.Key, o *metav1.DeleteOptions, v *verdict) (*store.Entry, error) {
	allow := func(live *store.Entry) error {
		next, err := c.planned(live, o, v)
		if err == nil && next != nil {
			err = errKeep
		}
		return err
	}
	if len(o.DryRun) == 0 {
		e, err := c.ep.Collection.Delete(c.ctx, key, allow)
		if err == nil {
			c.ep.Kind.AfterDelete(c.ctx, c.Env, e.Object)
		}
		return e, err
	}
	live, err := c.ep.Collection.Get(c.ctx, key, store.Freshness{})
	if err != nil {
		return nil, err
	}
	return live, allow(live)
}

func (c *call) mark(key store.Key, o *metav1.DeleteOptions, v *verdict) (*store.Entry, error) {
	change := func(live *store.Entry) (store.Object, error) {
		next, err := c.planned(live, o, v)
		if err == nil && next == nil {
			err = errChanged // nothing holds it any more
		}
		return next, err
	}
	if len(o.DryRun) == 0 {
		return c.ep.Collection.Update(c.ctx, key, change)
	}
	live, err := c.ep.Collection.Get(c.ctx, key, store.Freshness{})
	if err != nil {
		return nil, err
	}
	next, err := change(live)
	if err != nil {
		return nil, err
	}
	return store.NewEntry(next, live.Revision), nil
}

// planned checks preconditions and admission, then plans.
func (c *call) planned(e *store.Entry, o *metav1.DeleteOptions, v *verdict) (store.Object, error) {
	live := e.Object
	if err := c.preconditions(live, o.Preconditions); err != nil {
		return nil, err
	}
	if seen := (verdict{live.GetUID(), e.Revision}); len(c.Admission) > 0 && *v != seen {
		a := c.attributes(admission.Delete, len(o.DryRun) > 0)
		a.Old = live
		if err := c.admit(a); err != nil {
			return nil, err
		}
		*v = seen
	}
	plan := deletion{
		held: c.ep.Kind.Held, now: c.Env.Now(), o: o.DeepCopy(),
		graceful: func(obj store.Object, opts *metav1.DeleteOptions) bool {
			return c.ep.Kind.GracefulDelete(c.ctx, obj, opts)
		},
	}
	return plan.of(live), nil
}

func (c *call) preconditions(live store.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != live.GetUID() {
		return apierrors.NewConflict(c.ep.GroupResource(), live.GetName(),
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, live.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != live.GetResourceVersion() {
		return apierrors.NewConflict(c.ep.GroupResource(), live.GetName(),
			fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v",
				*p.ResourceVersion, live.GetResourceVersion()))
	}
	return nil
}

// deletion is what a DELETE does to an object. Pure; o may be changed.
type deletion struct {
	o        *metav1.DeleteOptions
	graceful func(store.Object, *metav1.DeleteOptions) bool
	held     func(store.Object) bool
	now      time.Time
}

// of returns nil when live is to be removed, live itself when nothing is left to
// do but wait, or the object marked as being deleted.
func (d deletion) of(live store.Object) store.Object {
	next := live.DeepCopyObject().(store.Object)
	next.SetFinalizers(finalizersAfter(live.GetFinalizers(), d.o))
	if live.GetDeletionTimestamp() != nil {
		return d.again(live, next)
	}
	grace, shown := int64(0), true
	if d.graceful(next, d.o) {
		if shown = d.o.GracePeriodSeconds != nil; shown {
			grace = *d.o.GracePeriodSeconds
		}
	}
	if grace == 0 && !d.held(next) {
		return nil
	}
	at := metav1.Time{Time: d.now.Add(time.Duration(grace) * time.Second).Truncate(time.Second)}
	next.SetDeletionTimestamp(&at)
	if shown {
		next.SetDeletionGracePeriodSeconds(&grace)
	}
	if next.GetGeneration() > 0 {
		next.SetGeneration(next.GetGeneration() + 1)
	}
	return next
}

// again: an object that is being deleted may only be deleted sooner.
func (d deletion) again(live, next store.Object) store.Object {
	left := int64(0)
	if g := live.GetDeletionGracePeriodSeconds(); g != nil {
		left = *g
	}
	if want := d.o.GracePeriodSeconds; want != nil && *want < left {
		at := metav1.Time{Time: live.GetDeletionTimestamp().Add(time.Duration(*want-left) * time.Second)}
		left = *want
		next.SetDeletionTimestamp(&at)
		next.SetDeletionGracePeriodSeconds(&left)
	} else if slices.Equal(next.GetFinalizers(), live.GetFinalizers()) && (left > 0 || d.held(live)) {
		return live
	}
	if left == 0 && !d.held(next) {
		return nil
	}
	return next
}

// finalizersAfter puts the propagation policy into the finalizers that the
// garbage collector obeys.
func finalizersAfter(have []string, o *metav1.DeleteOptions) []string {
	orphan, foreground := slices.Contains(have, metav1.FinalizerOrphanDependents), slices.Contains(have, metav1.FinalizerDeleteDependents)
	switch {
	case o.OrphanDependents != nil:
		orphan, foreground = *o.OrphanDependents, false
	case o.PropagationPolicy != nil:
		orphan = *o.PropagationPolicy == metav1.DeletePropagationOrphan
		foreground = *o.PropagationPolicy == metav1.DeletePropagationForeground
	}
	out := make([]string, 0, len(have)+1)
	for _, f := range have {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			out = append(out, f)
		}
	}
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	if slices.Equal(out, have) || len(out) == 0 && len(have) == 0 {
		return have
	}
	return out
}
