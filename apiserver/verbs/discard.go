package verbs

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// verbDiscard is the right to remove objects that cannot be read. It comes on
// top of delete, since nothing of what protects an object is looked at.
const verbDiscard = "unsafe-delete-ignore-read-errors"

// wantsDiscard: the deletion failed because the object cannot be read, and the
// client said that it is to go all the same.
func wantsDiscard(err error, o *metav1.DeleteOptions) bool {
	ask := o.IgnoreStoreReadErrorWithClusterBreakingPotential
	return ask != nil && *ask && errors.Is(err, store.ErrUnreadable)
}

// discard removes an object that cannot be read.
func (c *call) discard(o *metav1.DeleteOptions) error {
	if err := mayDiscard(c.ctx, c.Env.Authorizer(), c.info, c.key.Name); err != nil {
		return err
	}
	coll, ok := c.ep.Collection.(store.Discarder)
	if !ok {
		return apierrors.NewMethodNotSupported(c.ep.GroupResource(), "delete unreadable")
	}
	if len(o.DryRun) == 0 {
		if _, err := coll.Discard(c.ctx, c.key); err != nil {
			return c.explain(err, c.key.Name)
		}
	}
	return c.sendObject(http.StatusOK, &metav1.Status{
		Status:  metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: c.key.Name, Group: c.ep.GroupResource().Group, Kind: c.ep.GroupResource().Resource},
	}, codec.StatusKind)
}

// mayDiscard fails unless the user of ctx is allowed to.
func mayDiscard(ctx context.Context, a request.Authorizer, info *request.Info, name string) error {
	if a == nil {
		return apierrors.NewInternalError(errors.New("nobody can say who may delete unreadable objects"))
	}
	asked := *info
	asked.Verb = verbDiscard
	user := request.UserFrom(ctx)
	d, reason, err := a.Authorize(ctx, user, &asked)
	if err != nil {
		return fmt.Errorf("may %s be used: %w", verbDiscard, err)
	}
	if d != request.Allow {
		text := fmt.Sprintf("not permitted to %s", verbDiscard)
		if reason != "" {
			text += ": " + reason
		}
		return apierrors.NewForbidden(info.GVR().GroupResource(), name, errors.New(text))
	}
	return nil
}
