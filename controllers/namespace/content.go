package namespace

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"hyperkube/controllers/env"
)

// content removes what lies in a namespace, of whatever kind.
type content struct {
	env *env.Env
}

// page bounds how much of a kind is looked at together.
const page = 500

type deletable struct {
	gvr     schema.GroupVersionResource
	several bool // has deletecollection
}

// remove deletes everything once and reports what is left. Pods go first: what they use
// must outlive them.
func (c *content) remove(ctx context.Context, namespace string) *outcome {
	o := newOutcome()
	kinds := c.kinds(ctx, o)
	at := slices.IndexFunc(kinds, func(d deletable) bool { return d.gvr.Group == "" && d.gvr.Resource == "pods" })
	if at < 0 && o.discovery == nil { // an empty answer must not pass for an empty namespace
		o.discovery = errors.New("discovery names no pods")
	}
	if at >= 0 {
		c.removeKind(ctx, namespace, kinds[at], o)
		if len(o.remaining) > 0 || len(o.failed) > 0 {
			return o
		}
		kinds = slices.Delete(kinds, at, at+1)
	}
	for _, k := range kinds {
		if ctx.Err() != nil {
			return o
		}
		c.removeKind(ctx, namespace, k, o)
	}
	return o
}

// kinds are the namespaced resources that can be listed and deleted, in one version each.
func (c *content) kinds(ctx context.Context, o *outcome) []deletable {
	lists, err := discovery.ServerPreferredNamespacedResourcesWithContext(ctx, c.env.Discovery)
	if err != nil {
		o.discovery = fmt.Errorf("Discovery failed for some groups: %w", err)
	}
	var out []deletable
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			o.parse = errors.Join(o.parse, err)
			continue
		}
		for _, r := range l.APIResources {
			if r.Namespaced && slices.Contains(r.Verbs, "delete") && slices.Contains(r.Verbs, "list") {
				out = append(out, deletable{gv.WithResource(r.Name), slices.Contains(r.Verbs, "deletecollection")})
			}
		}
	}
	return out
}

func (c *content) removeKind(ctx context.Context, namespace string, d deletable, o *outcome) {
	items, err := c.list(ctx, namespace, d.gvr)
	if err != nil {
		o.failed = append(o.failed, fmt.Errorf("listing %s: %w", d.gvr.GroupResource(), err))
		return
	}
	if len(items) == 0 {
		return
	}
	if err := c.delete(ctx, namespace, d, items); err != nil {
		o.failed = append(o.failed, fmt.Errorf("deleting %s: %w", d.gvr.GroupResource(), err))
	}
	if items, err = c.list(ctx, namespace, d.gvr); err != nil {
		o.failed = append(o.failed, fmt.Errorf("listing %s: %w", d.gvr.GroupResource(), err))
		return
	}
	o.count(d.gvr, items)
}

func (c *content) delete(ctx context.Context, namespace string, d deletable, items []metav1.PartialObjectMetadata) error {
	api := c.env.Metadata.Resource(d.gvr).Namespace(namespace)
	background := metav1.DeletePropagationBackground
	opts := metav1.DeleteOptions{PropagationPolicy: &background}
	if d.several {
		err := api.DeleteCollection(ctx, opts, metav1.ListOptions{})
		if err == nil || !apierrors.IsMethodNotSupported(err) {
			return ignoreGone(err)
		}
	}
	for i := range items {
		if err := api.Delete(ctx, items[i].Name, opts); ignoreGone(err) != nil {
			return err
		}
	}
	return nil
}

// list reads the metadata of a kind, page by page. A kind that has just gone holds nothing.
func (c *content) list(ctx context.Context, namespace string, gvr schema.GroupVersionResource) ([]metav1.PartialObjectMetadata, error) {
	var items []metav1.PartialObjectMetadata
	opts := metav1.ListOptions{Limit: page}
	for {
		l, err := c.env.Metadata.Resource(gvr).Namespace(namespace).List(ctx, opts)
		switch {
		case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
			return items, nil
		case err != nil:
			return nil, err
		}
		items = append(items, l.Items...)
		if opts.Continue = l.Continue; opts.Continue == "" {
			return items, nil
		}
	}
}
