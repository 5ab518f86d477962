package verbs

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"

	"hyperkube/apiserver/codec"
	"hyperkube/internal/bounds"
	"hyperkube/store"

	jsonpatch "github.com/evanphx/json-patch/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"
)

// patchType reads the Content-Type; apply is known only where there is an Applier.
func (c *call) patchType() (types.PatchType, error) {
	known := "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json"
	if c.Applier != nil {
		known += ", application/apply-patch+yaml"
	}
	base, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err == nil {
		switch t := types.PatchType(base); t {
		case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType:
			return t, nil
		case types.ApplyYAMLPatchType:
			if c.Applier != nil {
				return t, nil
			}
		}
	}
	return "", codec.UnsupportedMedia(known)
}

func (c *call) patch(r rules) error {
	t, body, o, err := c.readPatch(c.ep.New())
	if err != nil {
		return err
	}
	if t == types.ApplyYAMLPatchType {
		return c.apply(body, o, r)
	}
	p := patcher{kind: t, body: body, want: c.ep.Names.GVK(), blank: c.ep.New}
	e, err := c.write(o, r, func(live *store.Entry) (store.Object, error) {
		served, err := c.ep.View.Served(live.Object)
		if err != nil {
			return nil, err
		}
		compact := func() ([]byte, error) { return c.ep.View.WholeJSON(live) }
		out, complaints, err := p.patched(served, compact)
		if err != nil {
			return nil, err
		}
		if err := c.complain(complaints, p.want, o.validation); err != nil {
			return nil, err
		}
		return c.ep.Stored(out)
	})
	if err != nil {
		return err
	}
	return c.sendWritten(http.StatusOK, e)
}

// readPatch reads a patch of what into is an example of. It is looked over here, once, and not
// in the transaction, which may be tried again.
func (c *call) readPatch(into runtime.Object) (types.PatchType, []byte, writeOptions, error) {
	t, err := c.patchType()
	if err != nil {
		return "", nil, writeOptions{}, err
	}
	o, err := c.writeOptions(t)
	if err != nil {
		return "", nil, o, err
	}
	buf, err := c.bodies.Read(c.r)
	if err != nil {
		return "", nil, o, err
	}
	defer c.bodies.Put(buf)
	if err := checkPatch(t, buf.Bytes(), into); err != nil {
		return "", nil, o, err
	}
	return t, bytes.Clone(buf.Bytes()), o, nil
}

func checkPatch(t types.PatchType, body []byte, into runtime.Object) error {
	switch t {
	case types.ApplyYAMLPatchType:
		return codec.CheckApply(body, into)
	case types.JSONPatchType: // a list of operations; what they make is checked when it is decoded
		return codec.CheckPatch(body, &[]any{})
	}
	return codec.CheckPatch(body, into)
}

// apply is server-side apply; it creates what does not exist. Another creator
// or remover in between makes it begin again, a few times.
func (c *call) apply(body []byte, o writeOptions, r rules) error {
	o.applied = true
	for try := 1; ; try++ {
		code, e, err := c.applyOnce(body, o, r)
		if apierrors.IsAlreadyExists(err) && try < applyTries {
			continue
		}
		if err != nil {
			return err
		}
		return c.sendWritten(code, e)
	}
}

const applyTries = 5

func (c *call) applyOnce(body []byte, o writeOptions, r rules) (int, *store.Entry, error) {
	k, force := c.ep.Kind, o.force != nil && *o.force
	e, err := c.write(o, r, func(live *store.Entry) (store.Object, error) {
		return c.Applier.Apply(k, r.sub, live.Object, body, o.manager, force)
	})
	if r.sub != "" || !apierrors.IsNotFound(err) {
		return http.StatusOK, e, err
	}
	obj, err := c.Applier.Apply(k, r.sub, nil, body, o.manager, force)
	if err != nil {
		return 0, nil, err
	}
	if err := c.mayAppear(obj); err != nil {
		return 0, nil, err
	}
	if err := c.alsoMay("create"); err != nil {
		return 0, nil, err
	}
	e, err = c.insert(obj, o)
	return http.StatusCreated, e, err
}

// mayAppear: who names a uid or a revision means an object that exists.
func (c *call) mayAppear(obj store.Object) error {
	if uid := obj.GetUID(); uid != "" {
		return apierrors.NewConflict(c.ep.GroupResource(), c.key.Name,
			fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	if rv := obj.GetResourceVersion(); rv != "" && rv != "0" {
		return c.stale(c.key.Name)
	}
	return nil
}

// patcher applies one patch to live objects. Pure.
type patcher struct {
	kind  types.PatchType
	body  []byte
	want  schema.GroupVersionKind
	blank func() runtime.Object
}

// patched returns a new object; live is left alone. compact yields live as JSON
// with its kind.
func (p *patcher) patched(live runtime.Object, compact func() ([]byte, error)) (runtime.Object, []error, error) {
	out := p.blank()
	if p.kind == types.StrategicMergePatchType {
		complaints, err := p.strategic(live, out)
		return out, complaints, err
	}
	before, err := compact()
	if err != nil {
		return nil, nil, err
	}
	after, complaints, err := p.merge(before)
	if err != nil {
		return nil, nil, err
	}
	more, err := codec.Decode(codec.JSON, after, out, p.want, true)
	return out, append(complaints, more...), err
}

func (p *patcher) merge(before []byte) (after []byte, complaints []error, err error) {
	if p.kind == types.MergePatchType {
		var m map[string]any
		if complaints, err = kjson.UnmarshalStrict(p.body, &m); err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
		if after, err = jsonpatch.MergePatch(before, p.body); err != nil {
			return nil, nil, apierrors.NewBadRequest(err.Error())
		}
		return after, complaints, nil
	}
	ops, err := jsonpatch.DecodePatch(p.body)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if len(ops) > bounds.PatchOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(
			fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", bounds.PatchOperations, len(ops)))
	}
	if len(ops)*len(before) > bounds.PatchWork {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(
			fmt.Sprintf("%d operations on an object of %d bytes: send fewer at a time", len(ops), len(before)))
	}
	limits := jsonpatch.NewApplyOptions()
	limits.AccumulatedCopySizeLimit = bounds.Copied
	after, err = ops.ApplyWithOptions(before, limits)
	var copied *jsonpatch.AccumulatedCopySizeError
	switch {
	case errors.As(err, &copied):
		return nil, nil, apierrors.NewRequestEntityTooLargeError(err.Error())
	case err != nil:
		return nil, nil, unreadable(err)
	}
	return after, nil, nil
}

// unreadable is the answer when a patch does not fit the object; the cause says why.
func unreadable(err error) error {
	st := apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", "", 0, false)
	st.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: err.Error()}}
	return st
}
