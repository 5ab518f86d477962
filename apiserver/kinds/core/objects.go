package core

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// collection finds another kind's objects.
func collection(env kind.Env, group, plural string) (store.Collection, error) {
	c, ok := env.Collection(group, plural)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("no collection of %s", schema.GroupResource{Group: group, Resource: plural}))
	}
	return c, nil
}

// get reads an object and answers in the API's errors.
func get(ctx context.Context, c store.Collection, key store.Key) (*store.Entry, error) {
	e, err := c.Get(ctx, key, store.Freshness{})
	return e, status(err, c, key)
}

// update changes an object; a dry run only asks change whether it would.
func update(ctx context.Context, c store.Collection, key store.Key, dryRun bool, change func(*store.Entry) (store.Object, error)) error {
	if dryRun {
		e, err := get(ctx, c, key)
		if err == nil {
			_, err = change(e)
		}
		return err
	}
	_, err := c.Update(ctx, key, change)
	return status(err, c, key)
}

// status turns the store's errors into the API's; others pass.
func status(err error, c store.Collection, key store.Key) error {
	r := c.Resource()
	gr := schema.GroupResource{Group: r.Group, Resource: r.Name}
	var api apierrors.APIStatus
	switch {
	case err == nil || errors.As(err, &api):
		return err
	case errors.Is(err, store.ErrNotFound):
		return apierrors.NewNotFound(gr, key.Name)
	case errors.Is(err, store.ErrConflict):
		return apierrors.NewConflict(gr, key.Name, err)
	}
	return err
}
