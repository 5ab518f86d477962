package verbs

import (
	"encoding/json"
	"net/http"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/kind"
	"hyperkube/store"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var scaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

// scaleOf shows the scale of an object.
func scaleOf(k *kind.Kind, o store.Object) *autoscalingv1.Scale {
	spec, status, selector := k.ScaleGet(o)
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(), CreationTimestamp: o.GetCreationTimestamp()},
		Spec:   autoscalingv1.ScaleSpec{Replicas: spec},
		Status: autoscalingv1.ScaleStatus{Replicas: status, Selector: selector},
	}
}

func (c *call) scale() error {
	switch c.info.Verb {
	case "get":
		e, err := c.ep.Collection.Get(c.ctx, c.key, store.Freshness{})
		if err != nil {
			return c.explain(err, c.key.Name)
		}
		return c.sendObject(http.StatusOK, scaleOf(c.ep.Kind, e.Object), scaleKind)
	case "update":
		return c.updateScale()
	case "patch":
		return c.patchScale()
	}
	return c.unsupported()
}

func (c *call) updateScale() error {
	o, err := c.writeOptions("")
	if err != nil {
		return err
	}
	want := &autoscalingv1.Scale{}
	if err := c.decode(want, scaleKind, o.validation); err != nil {
		return err
	}
	return c.rescale(o, func(store.Object) (*autoscalingv1.Scale, error) { return want, nil })
}

func (c *call) patchScale() error {
	t, body, o, err := c.readPatch(&autoscalingv1.Scale{})
	if err != nil {
		return err
	}
	if t == types.ApplyYAMLPatchType {
		// A scale has only replicas to own: applying one is merging it.
		t = types.MergePatchType
		if body, err = codec.ToJSON(body); err != nil {
			return err
		}
	}
	p := patcher{kind: t, body: body, want: scaleKind, blank: func() runtime.Object { return &autoscalingv1.Scale{} }}
	return c.rescale(o, func(live store.Object) (*autoscalingv1.Scale, error) {
		now := scaleOf(c.ep.Kind, live)
		out, complaints, err := p.patched(now, func() ([]byte, error) {
			now.SetGroupVersionKind(scaleKind)
			return json.Marshal(now)
		})
		if err != nil {
			return nil, err
		}
		return out.(*autoscalingv1.Scale), c.complain(complaints, scaleKind, o.validation)
	})
}

// rescale writes the replicas that wanted asks for, under the main rules.
func (c *call) rescale(o writeOptions, wanted func(live store.Object) (*autoscalingv1.Scale, error)) error {
	r := c.mainRules()
	r.sub = "scale"
	e, err := c.write(o, r, func(live *store.Entry) (store.Object, error) {
		s, err := wanted(live.Object)
		if err != nil {
			return nil, err
		}
		if err := c.checkNames(s); err != nil {
			return nil, err
		}
		if errs := negative(field.NewPath("spec", "replicas"), s.Spec.Replicas); errs != nil {
			return nil, invalid.New(scaleKind.GroupKind(), s.Name, errs)
		}
		next := live.Object.DeepCopyObject().(store.Object)
		c.ep.Kind.ScaleSet(next, s.Spec.Replicas)
		next.SetResourceVersion(s.ResourceVersion)
		if s.UID != "" {
			next.SetUID(s.UID)
		}
		return next, nil
	})
	if err != nil {
		return err
	}
	return c.sendObject(http.StatusOK, scaleOf(c.ep.Kind, e.Object), scaleKind)
}

// kindOf names an answer that does not name itself.
// end
func (c *call) kindOf(o runtime.Object, sub *kind.Subresource) (schema.GroupVersionKind, error) {
	if _, ok := o.(*metav1.Status); ok {
		return codec.StatusKind, nil
	}
	kinds, _, err := c.Scheme.ObjectKinds(o)
	if err != nil {
		return sub.GVK, err
	}
	for _, gvk := range kinds {
		if gvk.GroupKind() == sub.GVK.GroupKind() {
			return gvk, nil
		}
	}
	return kinds[0], nil
}
