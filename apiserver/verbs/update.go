package verbs

import (
	"fmt"
	"net/http"

	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func (c *call) update(r rules) error {
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
	if err := c.checkNames(obj); err != nil {
		return err
	}
	e, err := c.write(o, r, func(*store.Entry) (store.Object, error) {
		return obj.DeepCopyObject().(store.Object), nil // the pipeline changes it, and may run again
	})
	if r.sub == "" && c.ep.Kind.AllowCreateOnUpdate && apierrors.IsNotFound(err) && obj.GetResourceVersion() == "" && obj.GetUID() == "" {
		if err := c.alsoMay("create"); err != nil {
			return err
		}
		if e, err = c.insert(obj, o); err == nil {
			return c.sendWritten(http.StatusCreated, e)
		}
	}
	if uid := obj.GetUID(); uid != "" && apierrors.IsNotFound(err) { // the one that is meant is not this name's any more
		return apierrors.NewConflict(c.ep.GroupResource(), c.key.Name, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: ", uid))
	}
	if err != nil {
		return err
	}
	return c.sendWritten(http.StatusOK, e)
}
