package verbs

import (
	"context"
	"errors"
	"fmt"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// rules are what a write obeys: those of the main resource or of a subresource.
type rules struct {
	sub      string
	prepare  func(ctx context.Context, obj, old store.Object)
	validate func(obj, old store.Object) field.ErrorList
	hooks    bool // BeforeUpdate runs
}

func (c *call) mainRules() rules {
	k := c.ep.Kind
	return rules{prepare: k.PrepareUpdate, validate: k.ValidateUpdate, hooks: true}
}

// removal tells that an update took away the last reason to keep an object.
type removal struct {
	object   store.Object
	revision int64
}

func (*removal) Error() string { return "the last finalizer is gone" }

var errChanged = errors.New("the object changed before it was removed")

// unpaid tells that a change takes what was not charged yet, which must not happen
// inside the transaction.
type unpaid struct {
	a    *admission.Attributes
	bill string
}

func (*unpaid) Error() string { return "the change must be charged first" }

// payment is what was charged for the change under way. The zero value is nothing.
type payment struct {
	bill, due string // charged, and what the last attempt would take
	done      func(held bool)
}

// settle says whether the change held that was charged last.
func (p *payment) settle(held bool) {
	if p.done != nil {
		p.done(held && p.bill == p.due)
		p.done, p.bill = nil, ""
	}
}

// payTries bounds how often a change is charged anew because the object grew or
// shrank meanwhile.
const payTries = 10

// write changes the object at c.key in one transaction. next makes the wanted
// object from the live one, which it must not touch; it may be called again.
func (c *call) write(o writeOptions, r rules, next func(live *store.Entry) (store.Object, error)) (e *store.Entry, err error) {
	paid := &payment{}
	defer func() { // an update whose answer was lost stays charged: the controller counts
		paid.settle(err == nil || apierrors.ReasonForError(err) == metav1.StatusReasonUnknown)
	}()
	for try := 0; ; {
		e, err = c.tryWrite(o, r, paid, next)
		var due *unpaid
		var rm *removal
		switch {
		case errors.As(err, &due):
			paid.settle(false)
			if try++; try > payTries {
				return nil, c.stale(c.key.Name)
			}
			if paid.done, err = admission.Charge(c.ctx, c.Admission, due.a); err != nil {
				return nil, err
			}
			paid.bill = due.bill
			continue
		case !errors.As(err, &rm):
			return e, c.explain(err, c.key.Name)
		}
		if e, err = c.removeFinished(rm); !errors.Is(err, errChanged) {
			return e, c.explain(err, c.key.Name)
		}
	}
}

// removeFinished deletes the object unless it changed since rm was found.
func (c *call) removeFinished(rm *removal) (*store.Entry, error) {
	e, err := c.ep.Collection.Delete(c.ctx, c.key, func(p *store.Entry) error {
		if p.Revision != rm.revision {
			return errChanged
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.ep.Kind.AfterDelete(c.ctx, c.Env, e.Object)
	rm.object.SetResourceVersion(e.Object.GetResourceVersion())
	return store.NewEntry(rm.object, e.Revision), nil
}

func (c *call) tryWrite(o writeOptions, r rules, paid *payment, next func(live *store.Entry) (store.Object, error)) (e *store.Entry, err error) {
	done := func(bool) {}
	defer func() { done(err == nil) }()
	change := func(live *store.Entry) (store.Object, error) {
		done(false) // of an attempt before this one
		done = func(bool) {}
		obj, err := next(live)
		if err != nil {
			return nil, err
		}
		finish, obj, err := c.settle(obj, live.Object, o, r, paid)
		if err != nil {
			return nil, err
		}
		if !o.dryRun {
			done = finish
			if c.finished(obj) {
				return nil, &removal{object: obj, revision: live.Revision}
			}
		}
		return obj, nil
	}
	if !o.dryRun {
		return c.ep.Collection.Update(c.ctx, c.key, change)
	}
	live, err := c.ep.Collection.Get(c.ctx, c.key, store.Freshness{})
	if err != nil {
		return nil, err
	}
	obj, err := change(live)
	if err != nil {
		return nil, err
	}
	return store.NewEntry(obj, live.Revision), nil
}

// finished: the object is being deleted and nothing holds it any more.
func (c *call) finished(o store.Object) bool {
	grace := o.GetDeletionGracePeriodSeconds()
	return o.GetDeletionTimestamp() != nil && !c.ep.Kind.Held(o) && (grace == nil || *grace == 0)
}

// settle is the write pipeline of a changed object.
func (c *call) settle(obj, live store.Object, o writeOptions, r rules, paid *payment) (done func(bool), _ store.Object, err error) {
	k := c.ep.Kind
	done = func(bool) {}
	if err := c.keepMeta(obj, live); err != nil {
		return done, nil, err
	}
	k.Default(obj)
	if err := c.record(r.sub, live, obj, o); err != nil {
		return done, nil, err
	}
	a := c.attributes(admission.Update, o.dryRun)
	a.Object, a.Old = obj, live
	if err := c.mutators(a); err != nil {
		return done, nil, err
	}
	obj = a.Object
	r.prepare(c.ctx, obj, live)
	obj.SetGeneration(live.GetGeneration())
	if r.sub != "status" && k.HasGeneration && k.Generation(obj, live) {
		obj.SetGeneration(live.GetGeneration() + 1)
	}
	if r.hooks {
		if done, err = k.BeforeUpdate(c.ctx, c.Env, obj, live, o.dryRun); err != nil {
			return func(bool) {}, nil, err
		}
	}
	if err = c.judge(a, obj, live, r); err == nil {
		err = c.mustBePaid(a, paid)
	}
	if err != nil {
		if !o.dryRun {
			done(false)
		}
		return func(bool) {}, nil, err
	}
	return done, obj, nil
}

// mustBePaid compares what the change takes with what was charged for it.
func (c *call) mustBePaid(a *admission.Attributes, paid *payment) error {
	bill, err := admission.Bill(c.ctx, c.Admission, a)
	if err != nil {
		return err
	}
	if paid.due = bill; bill != "" && bill != paid.bill {
		return &unpaid{a, bill}
	}
	return nil
}

// record notes who owns the fields written. It comes before admission: what
// plugins add belongs to nobody, so that a later apply does not take it away.
func (c *call) record(sub string, live, obj store.Object, o writeOptions) error {
	most := bounds.Managers
	if live != nil {
		most = max(most, len(live.GetManagedFields())) // what is there may stay
	}
	if n := len(obj.GetManagedFields()); n > most {
		return invalid.New(c.ep.Names.GVK().GroupKind(), obj.GetName(), field.ErrorList{
			field.TooMany(field.NewPath("metadata", "managedFields"), n, bounds.Managers)})
	}
	if c.Applier != nil && !o.applied {
		c.Applier.Record(c.ep.Kind, sub, live, obj, o.manager, c.Env.Now())
	}
	return nil
}

// judge validates, then asks the plugins that may refuse.
func (c *call) judge(a *admission.Attributes, obj, live store.Object, r rules) error {
	errs := validation.ValidateObjectMetaAccessorUpdate(obj, live, field.NewPath("metadata"))
	if errs = append(errs, r.validate(obj, live)...); len(errs) > 0 {
		return invalid.New(c.ep.Names.GVK().GroupKind(), obj.GetName(), errs)
	}
	if r.hooks {
		for _, warning := range c.ep.Kind.Warnings(obj, live) {
			request.Warn(c.ctx, warning)
		}
	}
	return admission.Validate(c.ctx, c.Admission, a)
}

// keepMeta checks what the client believes of the live object and carries over
// the metadata that only the server sets.
func (c *call) keepMeta(obj, live store.Object) error {
	if err := c.checkNames(obj); err != nil {
		return err
	}
	if uid := obj.GetUID(); uid != "" && uid != live.GetUID() {
		return apierrors.NewConflict(c.ep.GroupResource(), live.GetName(),
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, live.GetUID()))
	}
	rv := obj.GetResourceVersion()
	switch {
	case rv == "" || rv == "0":
		if c.ep.Kind.DenyUnconditionalUpdate && c.info.Verb == "update" {
			return invalid.New(c.ep.Names.GVK().GroupKind(), live.GetName(), field.ErrorList{
				field.Invalid(field.NewPath("metadata", "resourceVersion"), rv, "must be specified for an update")})
		}
	case rv != live.GetResourceVersion():
		return c.stale(live.GetName())
	}
	obj.SetUID(live.GetUID())
	obj.SetResourceVersion(live.GetResourceVersion())
	obj.SetCreationTimestamp(live.GetCreationTimestamp())
	obj.SetDeletionTimestamp(live.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(live.GetDeletionGracePeriodSeconds())
	obj.SetGeneration(live.GetGeneration())
	obj.SetSelfLink("")
	if obj.GetGenerateName() == "" {
		obj.SetGenerateName(live.GetGenerateName())
	}
	return nil
}
