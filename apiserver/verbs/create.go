package verbs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *call) create() error {
	if c.key.Name != "" || c.ep.Names.Namespaced && c.key.Namespace == "" {
		return c.unsupported() // only a collection takes new objects
	}
	o, err := c.writeOptions("")
	if err != nil {
		return err
	}
	served := c.ep.New()
	if err := c.decode(served, c.ep.Names.GVK(), o.validation); err != nil {
		return err
	}
	obj, err := c.ep.Stored(served)
	if err != nil {
		return err
	}
	if c.ep.Kind.IsVirtual {
		return c.review(obj, o)
	}
	e, err := c.insert(obj, o)
	if err != nil {
		return err
	}
	return c.sendWritten(http.StatusCreated, e)
}

// review answers a kind that is never stored.
func (c *call) review(obj store.Object, o writeOptions) error {
	if err := c.checkNames(obj); err != nil {
		return err
	}
	k := c.ep.Kind
	k.Default(obj)
	if errs := k.Validate(obj); len(errs) > 0 {
		return invalid.New(k.GVK().GroupKind(), obj.GetName(), errs)
	}
	a := c.attributes(admission.Create, o.dryRun)
	a.Object = obj
	if err := c.admit(a); err != nil {
		return err
	}
	result, err := k.Virtual(c.ctx, c.Env, obj, kind.CreateOptions{DryRun: o.dryRun})
	if err != nil {
		return err
	}
	return c.sendObject(http.StatusCreated, result, k.GVK())
}

// Generated names are the prefix and five characters; a clash is tried again.
const (
	generatedPrefix = 58
	generatedSuffix = 5
	generatedTries  = 8
)

// insert stores a new object, inventing its name when the client wants that.
func (c *call) insert(obj store.Object, o writeOptions) (*store.Entry, error) {
	if err := c.checkNames(obj); err != nil {
		return nil, err
	}
	if obj.GetResourceVersion() != "" && obj.GetResourceVersion() != "0" {
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure,
			Code: http.StatusInternalServerError, Message: "resourceVersion should not be set on objects to be created"}}
	}
	if obj.GetName() != "" || obj.GetGenerateName() == "" {
		return c.insertNamed(obj, o)
	}
	for try := 1; ; try++ {
		named := obj
		if try < generatedTries {
			named = obj.DeepCopyObject().(store.Object)
		}
		base := named.GetGenerateName()
		if len(base) > generatedPrefix {
			base = base[:generatedPrefix]
		}
		named.SetName(base + rand.String(generatedSuffix))
		e, err := c.insertNamed(named, o)
		if !apierrors.IsAlreadyExists(err) || try == generatedTries {
			return e, err
		}
	}
}

// insertNamed is the write pipeline of a new object.
func (c *call) insertNamed(obj store.Object, o writeOptions) (_ *store.Entry, err error) {
	k := c.ep.Kind
	c.freshMeta(obj)
	k.Default(obj)
	if err := c.record("", nil, obj, o); err != nil {
		return nil, err
	}
	a := c.attributes(admission.Create, o.dryRun)
	a.Object = obj
	if err := c.mutators(a); err != nil {
		return nil, err
	}
	obj = a.Object
	k.PrepareCreate(c.ctx, obj)
	obj.SetGeneration(0)
	if k.HasGeneration {
		obj.SetGeneration(1)
	}
	done, err := k.BeforeCreate(c.ctx, c.Env, obj, o.dryRun)
	if err != nil {
		return nil, err
	}
	if !o.dryRun {
		defer func() { done(err == nil) }()
	}
	errs := validation.ValidateObjectMetaAccessor(obj, k.Namespaced, k.ValidateName, field.NewPath("metadata"))
	if errs = append(errs, k.Validate(obj)...); len(errs) > 0 {
		return nil, invalid.New(c.ep.Names.GVK().GroupKind(), obj.GetName(), errs)
	}
	for _, warning := range k.Warnings(obj, nil) {
		request.Warn(c.ctx, warning)
	}
	if err := admission.Validate(c.ctx, c.Admission, a); err != nil {
		return nil, err
	}
	charged, err := admission.Charge(c.ctx, c.Admission, a)
	if err != nil {
		return nil, err
	}
	uid := obj.GetUID()
	defer func() {
		charged(err == nil || c.mayHold(err, store.Key{Namespace: obj.GetNamespace(), Name: obj.GetName()}, uid))
	}()
	return c.store(obj, o)
}

// heldTimeout is for finding out whether a write held whose answer was lost.
const heldTimeout = 5 * time.Second

// mayHold reports whether a create that ended with err may have held all the same:
// whoever would take back what it used must not when it did.
func (c *call) mayHold(err error, key store.Key, uid types.UID) bool {
	if apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		return false // refused, for a reason
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), heldTimeout)
	defer cancel()
	e, err := c.ep.Collection.Get(ctx, key, store.Freshness{})
	if err != nil {
		return !errors.Is(err, store.ErrNotFound)
	}
	return e.Object.GetUID() == uid
}

func (c *call) store(obj store.Object, o writeOptions) (*store.Entry, error) {
	name := obj.GetName()
	if !o.dryRun {
		e, err := c.ep.Collection.Create(c.ctx, obj)
		return e, c.explain(err, name)
	}
	_, err := c.ep.Collection.Get(c.ctx, store.Key{Namespace: obj.GetNamespace(), Name: name}, store.Freshness{})
	if err == nil {
		return nil, apierrors.NewAlreadyExists(c.ep.GroupResource(), name)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return store.NewEntry(obj, 0), nil
}

// freshMeta sets what only the server may set on a new object.
func (c *call) freshMeta(obj store.Object) {
	obj.SetUID(types.UID(uuid.NewUUID()))
	obj.SetCreationTimestamp(metav1.Time{Time: c.Env.Now().Truncate(time.Second)})
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
	obj.SetResourceVersion("")
}

// attributes describe this write to admission.
func (c *call) attributes(op admission.Operation, dryRun bool) *admission.Attributes {
	return &admission.Attributes{Kind: c.ep.Kind, Info: c.info, User: c.user, Operation: op,
		Subresource: c.info.Subresource, DryRun: dryRun}
}

// mutators runs the plugins that change an object and fills in defaults for
// what they added.
func (c *call) mutators(a *admission.Attributes) error {
	if len(c.Admission) == 0 {
		return nil
	}
	if err := admission.Admit(c.ctx, c.Admission, a); err != nil {
		return err
	}
	c.ep.Kind.Default(a.Object)
	return nil
}

// admit runs all plugins where nothing happens between the two kinds.
func (c *call) admit(a *admission.Attributes) error {
	if err := admission.Admit(c.ctx, c.Admission, a); err != nil {
		return err
	}
	return admission.Validate(c.ctx, c.Admission, a)
}
