// Package verbs carries out resource requests, one file a verb.
//
//	filters ─▶ ServeHTTP ─▶ endpoint ─▶ get | list | watch          ─▶ store (reads)
//	                            │
//	                            └─────▶ create | update | patch | delete
//	                                      decode ▸ default ▸ admit ▸ prepare ▸ validate ▸ store
//
// The write pipeline is in write.go and is the same for every way to write:
// PUT, the three patches, apply, scale, status and other subresources differ only
// in how the next object is made from the live one and in the rules it obeys.
//
// Objects that come from the store are shared and read-only; a writer works on
// the object it decoded or on a DeepCopy.
package verbs

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/request"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// Applier is server-side apply: *apply.Manager.
type Applier interface {
	// Apply merges a patch into live (nil when the object does not exist).
	Apply(k *kind.Kind, sub string, live store.Object, patch []byte, manager string, force bool) (store.Object, error)
	// Record updates obj's managedFields for a write that is not an apply.
	Record(k *kind.Kind, sub string, live, obj store.Object, manager string, now time.Time)
}

// Options of a Handler. Applier, Connect and Admission may be left out: apply is
// then refused with 415 and connections with 503.
type Options struct {
	Registry  *registry.Registry
	Scheme    *runtime.Scheme
	Env       kind.Env
	Admission []admission.Plugin
	Applier   Applier
	Connect   http.Handler
	// Stopping ends all watches when it is done.
	Stopping context.Context
	// WatchStall is how long a client may take for one piece of a watch; 0 means 10 s.
	WatchStall time.Duration
	Log        *slog.Logger
}

// Handler serves every resource of the registry.
type Handler struct {
	Options
	bodies  codec.Bodies
	buffers sync.Pool // *[]byte: scratch for answers
}

// endpoint is a resource in one of its group-versions, as it is when a request finds it.
type endpoint struct{ *registry.Served }

// New prepares a handler.
func New(o Options) *Handler {
	if o.Stopping == nil {
		o.Stopping = context.Background()
	}
	if o.WatchStall == 0 {
		o.WatchStall = watchStall
	}
	return &Handler{Options: o}
}

// call is one request on its way.
type call struct {
	*Handler
	ctx   context.Context
	w     http.ResponseWriter
	r     *http.Request
	info  *request.Info
	user  *request.User
	ep    endpoint
	media codec.Media
	query url.Values // nil when there is none
	key   store.Key
}

// ServeHTTP finds the endpoint and the verb. The context must carry an Info.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	info := request.InfoFrom(ctx)
	if info == nil || !info.IsResource {
		http.NotFound(w, r)
		return
	}
	ep := endpoint{h.Registry.Table().Find(info.GVR())}
	if ep.Served == nil || !placed(ep, info) {
		http.NotFound(w, r)
		return
	}
	if request.AccountFrom(ctx) != "" && info.Verb != "deletecollection" {
		ctx = store.Paced(ctx)
	}
	c := call{Handler: h, ctx: ctx, w: w, r: r, info: info, user: request.UserFrom(ctx), ep: ep}
	c.key.Name = info.Name
	if ep.Names.Namespaced {
		c.key.Namespace = info.Namespace
	}
	if r.URL.RawQuery != "" {
		c.query = r.URL.Query()
	}
	if err := c.serve(); err != nil {
		codec.WriteError(w, r, err)
	}
}

// placed checks that the path names the resource where its scope allows it.
func placed(ep endpoint, info *request.Info) bool {
	if info.Rest != "" && info.Subresource != "proxy" {
		return false // nothing else has anything below it
	}
	named := info.Name != "" && info.Verb != "list" && info.Verb != "watch" && info.Verb != "deletecollection"
	if ep.Names.Namespaced {
		return info.Namespace != "" || !named
	}
	return info.Namespace == "" || (info.Resource == "namespaces" && info.Group == "")
}

func (c *call) serve() error {
	if d := c.ep.Kind.Deprecated; d != "" {
		request.Warn(c.ctx, d)
	}
	if c.info.Subresource != "" {
		return c.subresource()
	}
	if !slices.Contains(c.ep.Kind.Verbs, c.info.Verb) || c.info.Verb == "watch" && c.r.Method != http.MethodGet {
		return c.unsupported()
	}
	if c.key.Name == "" && (c.info.Verb == "update" || c.info.Verb == "patch") {
		return c.unsupported() // the name in a body was not authorized
	}
	offer := codec.Objects
	switch {
	case c.info.Verb == "list" || c.info.Verb == "deletecollection":
		offer = codec.Lists
	case c.ep.Kind.IsVirtual: // a review has no metadata to make a row of
		offer = codec.Plain
	}
	var err error
	if c.media, err = codec.Negotiate(c.r, offer); err != nil {
		return err
	}
	switch c.info.Verb {
	case "get":
		return c.get()
	case "list":
		return c.list()
	case "watch":
		return c.watch()
	case "create":
		return c.create()
	case "update":
		return c.update(c.mainRules())
	case "patch":
		return c.patch(c.mainRules())
	case "delete":
		return c.delete()
	case "deletecollection":
		return c.deleteCollection()
	}
	return c.unsupported()
}

func (c *call) unsupported() error {
	return apierrors.NewMethodNotSupported(c.ep.GroupResource(), c.info.Verb)
}
