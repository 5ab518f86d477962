// Package garbage removes objects whose owners are gone.
//
//	metadata of every deletable kind ──▶ graph (owner ◀─▶ dependents, by UID)
//	                                        │ an owner went, references changed,
//	                                        ▼ a finalizer asks for it
//	                      look at one object ──▶ plan ──▶ delete │ drop references │
//	                                                      orphan dependents │ release
//
// A reference is satisfied only by the object with that kind, name and UID; a namespaced owner
// in another namespace counts as absent, which a warning tells.
//
// Nothing is deleted on the graph's word alone: a watch also tells of objects that can no longer
// be read as if they were deleted. An owner counts as gone only when the API server says so, which
// is asked once for all its dependents, and every deletion names the UID and the
// resourceVersion that the decision was made for.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/internal/bounds"
	"hyperkube/kit"
)

// lookAgain is when an owner that exists but has not been seen yet is asked for again.
const lookAgain = 10 * time.Second

// manyAgain is when an object with many owners is looked at while there is another one.
const manyAgain = 2 * time.Second

// New makes the collector. Its keys are UIDs, in the namespaces of their objects as far as
// they are known: namespaces take turns.
func New(e *env.Env) (env.Runner, error) {
	if e.Metadata == nil || e.Discovery == nil {
		return nil, errors.New("the garbage collector needs the metadata and discovery clients")
	}
	c := &collector{env: e, graph: newGraph(), catalog: &catalog{}, events: e.Events.Recorder("garbage-collector-controller"),
		kindsChanged: make(chan struct{}, 1)}
	c.loop = e.Wide("garbage-collector-controller", 20, c.reconcile)
	return &monitor{collector: c, watched: map[resource]*watched{}}, nil
}

type collector struct {
	env     *env.Env
	graph   *graph
	catalog *catalog
	events  kit.Recorder
	loop    *kit.Controller

	latecomers latecomers
	many       sync.Mutex // held while an object with more than bounds.Owners owners is looked at

	kindsChanged chan struct{} // of one: the catalog may be out of date
}

// relearn asks for a new catalog.
func (c *collector) relearn() {
	select {
	case c.kindsChanged <- struct{}{}:
	default: // asked for already
	}
}

func (c *collector) add(uids []types.UID) {
	for _, k := range c.graph.keysOf(uids) {
		c.loop.Add(k)
	}
}

func (c *collector) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	if c.graph.owners(types.UID(key.Name)) > bounds.Owners { // each may have to be asked for: not by all workers at once
		if !c.many.TryLock() {
			return kit.After(manyAgain), nil
		}
		defer c.many.Unlock()
	}
	f, ok := c.graph.factsOf(types.UID(key.Name))
	if !ok {
		return kit.Result{}, nil
	}
	again := time.Duration(0)
	for i := range f.owners {
		if f.owners[i].state != unknown || f.deleting {
			continue
		}
		if o := f.owners[i]; o.elsewhere != "" && f.namespace != "" {
			c.events.Eventf(reference(f), corev1.EventTypeWarning, "OwnerRefInvalidNamespace",
				"ownerRef %s/%s, name: %s, uid: %s is not in namespace %q: an owner in another one counts as absent", o.ref.APIVersion, o.ref.Kind, o.ref.Name, o.ref.UID, f.namespace)
		}
		exists, err := c.ask(ctx, f, f.owners[i].ref)
		if err != nil {
			return kit.Result{}, err
		}
		if exists {
			f.owners[i].state, again = solid, lookAgain
		} else {
			f.owners[i].state = absent
			c.graph.missed(placeOf(f.namespace, f.owners[i].ref))
		}
	}
	if err := c.apply(ctx, f, planFor(f)); err != nil {
		return kit.Result{}, err
	}
	return kit.After(again), nil
}

// ask finds out from the API server whether an owner exists where a reference says.
func (c *collector) ask(ctx context.Context, f facts, ref metav1.OwnerReference) (bool, error) {
	r, ok := c.catalog.of(ref.APIVersion, ref.Kind)
	if !ok {
		c.relearn()
		return false, fmt.Errorf("owner kind %s %s is not served", ref.APIVersion, ref.Kind)
	}
	namespace := ""
	if r.namespaced {
		if f.namespace == "" {
			// Such a reference can never be right. Whoever made it must decide; nothing is deleted for it.
			c.events.Eventf(reference(f), corev1.EventTypeWarning, "OwnerRefInvalidNamespace",
				"ownerRef %s/%s, name: %s, uid: %s is namespaced, its dependent is not", ref.APIVersion, ref.Kind, ref.Name, ref.UID)
			return true, nil
		}
		namespace = f.namespace
	}
	o, err := c.env.Metadata.Resource(r.gvr).Namespace(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for owner %s %s: %w", ref.Kind, ref.Name, err)
	}
	return o.UID == ref.UID, nil
}

func (c *collector) apply(ctx context.Context, f facts, p plan) error {
	c.add(p.look)
	for _, d := range p.orphan {
		if err := c.edit(ctx, d.identity, withoutOwners(f.uid)); err != nil {
			return fmt.Errorf("orphaning %s: %w", d.name, err)
		}
	}
	for _, d := range p.unblock {
		if err := c.edit(ctx, d.identity, unblocking(f.uid)); err != nil {
			return fmt.Errorf("unblocking by %s: %w", d.name, err)
		}
	}
	if p.release == metav1.FinalizerOrphanDependents {
		late, err := c.latecomers.of(ctx, c, f)
		if err != nil {
			return err
		}
		for _, id := range late {
			if err := c.edit(ctx, id, withoutOwners(f.uid)); err != nil {
				return fmt.Errorf("orphaning %s: %w", id.name, err)
			}
		}
	}
	switch {
	case p.release != "":
		return c.edit(ctx, f.identity, withoutFinalizer(p.release))
	case len(p.dropOwners) > 0:
		return c.edit(ctx, f.identity, withoutOwners(p.dropOwners...))
	case p.remove != "":
		return c.remove(ctx, f, p.remove)
	}
	return nil
}

// remove deletes the object as it was when the decision was made.
func (c *collector) remove(ctx context.Context, f facts, how metav1.DeletionPropagation) error {
	opts := metav1.DeleteOptions{
		PropagationPolicy: &how,
		Preconditions:     &metav1.Preconditions{UID: &f.uid, ResourceVersion: &f.version},
	}
	err := c.env.Metadata.Resource(f.gvr).Namespace(f.namespace).Delete(ctx, f.name, opts)
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return nil
	}
	return fmt.Errorf("deleting %s %s: %w", f.kind.Kind, f.name, err)
}

// change turns an object's metadata into the fields of a merge patch; nil for no change.
type change func(*metav1.PartialObjectMetadata) map[string]any

// edit changes the metadata of an object, against its newest state.
func (c *collector) edit(ctx context.Context, id identity, change change) error {
	api := c.env.Metadata.Resource(id.gvr).Namespace(id.namespace)
	err := kit.RetryConflict(ctx, func(ctx context.Context) error {
		o, err := api.Get(ctx, id.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if o.UID != id.uid {
			return nil
		}
		fields := change(o)
		if fields == nil {
			return nil
		}
		patch, err := mergePatch(o, fields)
		if err != nil {
			return err
		}
		_, err = api.Patch(ctx, id.name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func withoutOwners(uids ...types.UID) change {
	return func(o *metav1.PartialObjectMetadata) map[string]any {
		refs := slices.DeleteFunc(slices.Clone(o.OwnerReferences), func(r metav1.OwnerReference) bool { return slices.Contains(uids, r.UID) })
		if len(refs) == len(o.OwnerReferences) {
			return nil
		}
		return map[string]any{"ownerReferences": refs}
	}
}

func unblocking(owner types.UID) change {
	return func(o *metav1.PartialObjectMetadata) map[string]any {
		refs := slices.Clone(o.OwnerReferences)
		changed := false
		for i := range refs {
			if refs[i].UID == owner && refs[i].BlockOwnerDeletion != nil && *refs[i].BlockOwnerDeletion {
				refs[i].BlockOwnerDeletion, changed = new(bool), true
			}
		}
		if !changed {
			return nil
		}
		return map[string]any{"ownerReferences": refs}
	}
}

func withoutFinalizer(name string) change {
	return func(o *metav1.PartialObjectMetadata) map[string]any {
		left := slices.DeleteFunc(slices.Clone(o.Finalizers), func(f string) bool { return f == name })
		if len(left) == len(o.Finalizers) {
			return nil
		}
		return map[string]any{"finalizers": left}
	}
}
