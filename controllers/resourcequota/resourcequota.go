// Package resourcequota counts what namespaces use of their quotas. Admission charges
// what comes; this controller sets what a new limit starts from and gives back
// what goes.
//
// A kind is watched only once some quota limits it: without quotas it costs nothing.
package resourcequota

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"hyperkube/api/quota"
	"hyperkube/controllers/env"
	"hyperkube/kit"
)

const (
	recount = 5 * time.Minute        // of what no event told
	gather  = 200 * time.Millisecond // so that many deletions cost one count
)

type controller struct {
	env    *env.Env
	quotas *kit.Informer[*corev1.ResourceQuota]
	loop   *kit.Controller

	mu      sync.Mutex
	counted map[schema.GroupResource]*kit.Informer[kit.Object]
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{env: e, quotas: e.ResourceQuotas(), counted: map[schema.GroupResource]*kit.Informer[kit.Object]{}}
	c.loop = e.Controller("resourcequota-controller", c.reconcile)
	kit.WatchWith(c.loop, c.quotas, kit.Handler[*corev1.ResourceQuota]{
		Add: func(q *corev1.ResourceQuota, _ bool) { c.loop.Add(kit.KeyOf(q)) },
		Update: func(old, q *corev1.ResourceQuota) {
			if !apiequality.Semantic.DeepEqual(old.Spec, q.Spec) {
				c.loop.Add(kit.KeyOf(q))
			}
		},
	})
	return c.loop, nil
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	q, ok := c.quotas.Get(key.Namespace, key.Name)
	if !ok {
		return kit.Result{}, nil
	}
	used, err := quota.Total(q, func(gr schema.GroupResource) ([]kit.Object, error) {
		i, err := c.informer(ctx, gr)
		if err != nil {
			return nil, err
		}
		return i.ListIn(q.Namespace), i.WaitSynced(ctx)
	})
	if err != nil {
		return kit.Result{}, fmt.Errorf("counting: %w", err)
	}
	if apiequality.Semantic.DeepEqual(q.Status.Hard, q.Spec.Hard) && apiequality.Semantic.DeepEqual(q.Status.Used, used) {
		return kit.After(recount), nil
	}
	out := q.DeepCopy()
	out.Status = corev1.ResourceQuotaStatus{Hard: q.Spec.DeepCopy().Hard, Used: used}
	_, err = c.env.Kube.CoreV1().ResourceQuotas(q.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return kit.Result{}, fmt.Errorf("updating status: %w", err)
	}
	return kit.After(recount), nil
}

// informer of a kind that a quota limits, watched from the first time it is asked for.
func (c *controller) informer(ctx context.Context, gr schema.GroupResource) (*kit.Informer[kit.Object], error) {
	c.mu.Lock()
	have := c.counted[gr]
	c.mu.Unlock()
	if have != nil {
		return have, have.WaitSynced(ctx)
	}
	gvr, err := c.resolve(ctx, gr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	have = c.counted[gr]
	if have == nil {
		have = kit.InformerFor[kit.Object](c.env.Informers, gvr)
		c.counted[gr] = have
		have.OnChange(kit.Handler[kit.Object]{
			Update: func(old, o kit.Object) {
				if quota.Lowered(gr, old, o) {
					c.changed(o.GetNamespace())
				}
			},
			Delete: func(o kit.Object) { c.changed(o.GetNamespace()) },
		})
	}
	c.mu.Unlock()
	return have, have.WaitSynced(ctx)
}

func (c *controller) changed(namespace string) {
	for _, q := range c.quotas.ListIn(namespace) {
		c.loop.AddAfter(kit.KeyOf(q), gather)
	}
}

// resolve finds the version in which a kind is served.
func (c *controller) resolve(ctx context.Context, gr schema.GroupResource) (schema.GroupVersionResource, error) {
	if gr.Group == "" {
		return gr.WithVersion("v1"), nil
	}
	lists, err := discovery.ServerPreferredNamespacedResourcesWithContext(ctx, c.env.Discovery)
	for _, l := range lists {
		gv, parseErr := schema.ParseGroupVersion(l.GroupVersion)
		if parseErr != nil || gv.Group != gr.Group {
			continue
		}
		for i := range l.APIResources {
			if l.APIResources[i].Name == gr.Resource {
				return gv.WithResource(gr.Resource), nil
			}
		}
	}
	if err != nil {
		return schema.GroupVersionResource{}, fmt.Errorf("resolving %s: %w", gr, err)
	}
	// It may be served one day, and nothing that is watched would tell.
	return schema.GroupVersionResource{}, fmt.Errorf("no kind %s is served", gr)
}
