package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// ControllerIndex is the name of the index that IndexByController adds.
const ControllerIndex = "controller"

// IndexByController lets Owned find the dependents of an owner, and the orphans of a
// namespace, without looking at others.
func IndexByController[T Object](i *Informer[T]) {
	i.AddIndex(ControllerIndex, func(o T) []string {
		if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
			return []string{string(ref.UID)}
		}
		return []string{orphans(o.GetNamespace())}
	})
}

func orphans(namespace string) string { return "orphans/" + namespace }

// Owned returns the objects whose controller is owner.
func Owned[T Object](i *Informer[T], owner types.UID) []T {
	return i.ByIndex(ControllerIndex, string(owner))
}

// Orphans returns the objects of a namespace that have no controller.
func Orphans[T Object](i *Informer[T], namespace string) []T {
	return i.ByIndex(ControllerIndex, orphans(namespace))
}

// Claimer decides which dependents belong to an owner: those it controls and selects stay,
// those it no longer selects are released, orphans it selects are adopted.
type Claimer struct {
	Owner    metav1.Object
	Kind     schema.GroupVersionKind // of Owner
	Selector labels.Selector
	// Live reads Owner from the API server, not from a cache: before the first adoption the
	// owner must still exist under its UID and not be on its way out.
	Live func(ctx context.Context) (metav1.Object, error)
	// Patch sends a strategic merge patch to one dependent.
	Patch func(ctx context.Context, namespace, name string, patch []byte) error
	// Finalizers are added on adoption and removed on release.
	Finalizers []string

	checked bool
	refused error
}

// Claim returns the objects of owned that stay with the owner and those of orphans
// that it adopted. Failures to adopt or release are joined; the claimed ones are returned all the same.
func Claim[T Object](ctx context.Context, c *Claimer, owned, orphans []T) ([]T, error) {
	var errs []error
	claimed := make([]T, 0, len(owned))
	for _, o := range owned {
		if c.Selector.Matches(labels.Set(o.GetLabels())) {
			claimed = append(claimed, o)
			continue
		}
		if c.Owner.GetDeletionTimestamp() == nil {
			errs = append(errs, c.release(ctx, o))
		}
	}
	for _, o := range orphans {
		if c.Owner.GetDeletionTimestamp() != nil || o.GetDeletionTimestamp() != nil ||
			!c.Selector.Matches(labels.Set(o.GetLabels())) {
			continue
		}
		adopted, err := c.adopt(ctx, o)
		errs = append(errs, err)
		if adopted {
			claimed = append(claimed, o)
		}
	}
	return claimed, errors.Join(errs...)
}

func (c *Claimer) adopt(ctx context.Context, o Object) (bool, error) {
	if err := c.mayAdopt(ctx); err != nil {
		return false, err
	}
	meta := map[string]any{
		"uid":             o.GetUID(),
		"ownerReferences": []metav1.OwnerReference{*metav1.NewControllerRef(c.Owner, c.Kind)},
	}
	if len(c.Finalizers) > 0 {
		meta["finalizers"] = c.Finalizers
	}
	err := c.patch(ctx, o, meta)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("adopting %s: %w", KeyOf(o), err)
	}
	return true, nil
}

func (c *Claimer) mayAdopt(ctx context.Context) error {
	if c.checked {
		return c.refused
	}
	c.checked = true
	live, err := c.Live(ctx)
	switch {
	case err != nil:
		c.refused = fmt.Errorf("checking the owner before adoption: %w", err)
	case live.GetUID() != c.Owner.GetUID():
		c.refused = fmt.Errorf("original %s %s is gone: got uid %s, wanted %s",
			c.Kind.Kind, KeyOf(c.Owner), live.GetUID(), c.Owner.GetUID())
	case live.GetDeletionTimestamp() != nil:
		c.refused = fmt.Errorf("%s %s has just been deleted at %s", c.Kind.Kind, KeyOf(c.Owner), live.GetDeletionTimestamp())
	}
	return c.refused
}

func (c *Claimer) release(ctx context.Context, o Object) error {
	meta := map[string]any{
		"uid":             o.GetUID(),
		"ownerReferences": []map[string]any{{"$patch": "delete", "uid": c.Owner.GetUID()}},
	}
	if len(c.Finalizers) > 0 {
		meta["$deleteFromPrimitiveList/finalizers"] = c.Finalizers
	}
	err := c.patch(ctx, o, meta)
	// Gone, or another object of the same name: nothing left to release.
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return fmt.Errorf("releasing %s: %w", KeyOf(o), err)
}

func (c *Claimer) patch(ctx context.Context, o Object, meta map[string]any) error {
	body, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return err
	}
	return c.Patch(ctx, o.GetNamespace(), o.GetName(), body)
}
