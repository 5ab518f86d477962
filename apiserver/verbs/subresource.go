package verbs

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/filters"
	"hyperkube/apiserver/kind"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/streaming/pkg/httpstream"
)

// subresource finds who serves <resource>/<name>/<sub>.
func (c *call) subresource() error {
	k, name := c.ep.Kind, c.info.Subresource
	if c.key.Name == "" {
		return apierrors.NewNotFound(c.ep.GroupResource(), "")
	}
	sub := c.ep.Subresource(name)
	// OPTIONS is no verb of ours, but one that a proxied server may know.
	asked := c.info.Verb == "" && c.r.Method == http.MethodOptions && name == "proxy"
	if sub != nil && (asked || slices.Contains(sub.Connect, c.info.Verb)) {
		return c.connect(sub)
	}
	offer := codec.Objects
	if name == "scale" || (sub != nil && sub.Rules == nil) {
		offer = codec.Plain
	}
	var err error
	if c.media, err = codec.Negotiate(c.r, offer); err != nil {
		return err
	}
	switch {
	case name == "status" && k.HasStatus:
		return c.underRules(name, k.Status)
	case name == "scale" && k.HasScale:
		return c.scale()
	case sub == nil:
		http.NotFound(c.w, c.r)
		return nil
	case sub.Create != nil && c.info.Verb == "create":
		return c.postTo(sub)
	case sub.Rules != nil:
		return c.underRules(name, sub.Rules)
	}
	return c.unsupported()
}

// underRules serves the whole object under a subresource's rules.
func (c *call) underRules(name string, r *kind.AnyRules) error {
	under := rules{sub: name, prepare: keepIdentity(r.Prepare), validate: r.Validate}
	switch c.info.Verb {
	case "get":
		return c.get()
	case "update":
		return c.update(under)
	case "patch":
		return c.patch(under)
	}
	return c.unsupported()
}

// keepIdentity: no subresource changes who owns an object or what holds it,
// but for namespaces/finalize, whose spec is its own business.
func keepIdentity(prepare func(context.Context, store.Object, store.Object)) func(context.Context, store.Object, store.Object) {
	return func(ctx context.Context, obj, old store.Object) {
		obj.SetOwnerReferences(old.GetOwnerReferences())
		prepare(ctx, obj, old)
	}
}

// postTo hands a POST to the subresource's own function.
func (c *call) postTo(sub *kind.Subresource) error {
	o, err := c.writeOptions("")
	if err != nil {
		return err
	}
	body := sub.New()
	if err := c.decode(body, sub.GVK, o.validation); err != nil {
		return err
	}
	a := c.attributes(admission.Create, o.dryRun)
	a.Body = body
	if err := c.readParent(a, c.key); err != nil {
		return err
	}
	if err := c.admit(a); err != nil {
		return err
	}
	out, err := sub.Create(c.ctx, c.Env, c.key, body, kind.CreateOptions{DryRun: o.dryRun})
	if err != nil {
		return c.explain(err, c.key.Name)
	}
	gvk := out.GetObjectKind().GroupVersionKind()
	if gvk.Empty() {
		if gvk, err = c.kindOf(out, sub); err != nil {
			return err
		}
	}
	return c.sendObject(http.StatusCreated, out, gvk)
}

// readParent shows admission the object that the subresource belongs to.
func (c *call) readParent(a *admission.Attributes, key store.Key) error {
	if len(c.Admission) == 0 {
		return nil
	}
	e, err := c.ep.Collection.Get(c.ctx, key, store.Freshness{})
	if err != nil {
		return c.explain(err, key.Name)
	}
	a.Old = e.Object
	return nil
}

// connect hands the connection itself over.
func (c *call) connect(sub *kind.Subresource) error {
	if c.Connect == nil {
		return apierrors.NewServiceUnavailable("connections to " + c.info.Resource + "/" + sub.Name + " are not served here")
	}
	if err := c.mayConnect(sub); err != nil {
		return err
	}
	a := c.attributes(admission.Connect, false)
	parent := c.key
	if sub.Name == "proxy" {
		parent.Name = proxied(parent.Name)
	}
	if err := c.readParent(a, parent); err != nil {
		return err
	}
	if err := c.admit(a); err != nil {
		return err
	}
	c.Connect.ServeHTTP(c.w, c.r)
	return nil
}

// mayConnect asks for the verb that the connection needs besides that of its method.
func (c *call) mayConnect(sub *kind.Subresource) error {
	needs := sub.Needs
	if needs == "" && httpstream.IsUpgradeRequest(c.r) {
		needs = sub.UpgradeNeeds
	}
	if needs == "" {
		return nil
	}
	return c.alsoMay(needs)
}

// alsoMay asks for a verb that the request takes besides that of its method: a
// patch or an update that makes its object is a create as well.
func (c *call) alsoMay(verb string) error {
	if verb == c.info.Verb {
		return nil
	}
	also := *c.info
	also.Verb = verb
	return filters.Allowed(c.ctx, c.Env.Authorizer(), c.user, &also)
}

// proxied is the object's name in [scheme:]name[:port].
func proxied(id string) string {
	parts := strings.SplitN(id, ":", 3)
	if len(parts) == 3 {
		return parts[1]
	}
	return parts[0]
}

// negative is the complaint about a number below zero.
func negative(path *field.Path, n int32) field.ErrorList {
	if n >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, n, "must be greater than or equal to 0")}
}
