package verbs

import (
	"errors"
	"fmt"
	"net/http"

	"hyperkube/apiserver/codec"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// keepBuffer is the largest scratch buffer that is kept for the next answer.
const keepBuffer = 256 << 10

func (h *Handler) scratch() *[]byte {
	if p, ok := h.buffers.Get().(*[]byte); ok {
		return p
	}
	b := make([]byte, 0, 8<<10)
	return &b
}

func (h *Handler) recycle(p *[]byte) {
	if cap(*p) <= keepBuffer {
		h.buffers.Put(p)
	}
}

// sendEntry answers a read with one object of the store.
func (c *call) sendEntry(code int, e *store.Entry) error {
	return c.send(code, e, c.ep.View.AppendEntry)
}

// sendWritten answers a write with what it left. What a role of this process
// writes, its roles read as objects; what came over a wire is often read over one.
func (c *call) sendWritten(code int, e *store.Entry) error {
	if c.r.TLS != nil {
		return c.sendEntry(code, e)
	}
	return c.send(code, e, c.ep.View.AppendWritten)
}

func (c *call) send(code int, e *store.Entry, encode func([]byte, codec.Media, *store.Entry) ([]byte, error)) error {
	p := c.scratch()
	defer c.recycle(p)
	out, err := encode((*p)[:0], c.media, e)
	if err != nil {
		return err
	}
	*p = out
	codec.WriteBody(c.w, c.media.Wire.String(), code, out)
	return nil
}

// sendObject answers with any other object.
func (c *call) sendObject(code int, obj runtime.Object, gvk schema.GroupVersionKind) error {
	p := c.scratch()
	defer c.recycle(p)
	m := c.media
	m.Shape = codec.Whole
	out, err := codec.AppendObject((*p)[:0], m, obj, gvk)
	if err != nil {
		return err
	}
	*p = out
	codec.WriteBody(c.w, m.Wire.String(), code, out)
	return nil
}

// sendSuccess answers a removal, naming what is gone.
func (c *call) sendSuccess(gone store.Object) error {
	return c.sendObject(http.StatusOK, &metav1.Status{
		Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{
			Name: gone.GetName(), Group: c.ep.GroupResource().Group, Kind: c.ep.GroupResource().Resource, UID: gone.GetUID(),
		},
	}, codec.StatusKind)
}

// explain turns the store's errors into API errors about the object named.
func (c *call) explain(err error, name string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return apierrors.NewNotFound(c.ep.GroupResource(), name)
	case errors.Is(err, store.ErrExists):
		return apierrors.NewAlreadyExists(c.ep.GroupResource(), name)
	case errors.Is(err, store.ErrConflict):
		return c.stale(name)
	case errors.Is(err, store.ErrExpired):
		return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	case errors.Is(err, store.ErrFuture):
		return tooLarge(err)
	}
	return err
}

// tooLarge is known to clients by its cause.
func tooLarge(cause error) error {
	message := "Too large resource version"
	var future *store.FutureError
	if errors.As(cause, &future) {
		message = fmt.Sprintf("Too large resource version: %d, current: %d", future.Want, future.Have)
	}
	err := apierrors.NewTimeoutError(message, 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return err
}

// stale is the answer to a writer that worked on an old revision.
func (c *call) stale(name string) error {
	return apierrors.NewConflict(c.ep.GroupResource(), name,
		errors.New("the object has been modified; please apply your changes to the latest version and try again"))
}
