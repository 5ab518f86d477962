// Package namespace empties a namespace that is being deleted and then lets it go.
//
//	deletionTimestamp ─▶ pods ─▶ every other kind that discovery names ─▶ conditions
//	                       └ something left: again when the last pod is gone,   │
//	                         or after a while                                   ▼
//	                                                   nothing left: drop the finalizer
package namespace

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

type controller struct {
	env        *env.Env
	namespaces *kit.Informer[*corev1.Namespace]
	content    *content
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{env: e, namespaces: e.Namespaces(), content: &content{env: e}}
	loop := e.Controller("namespace-controller", c.reconcile)
	kit.WatchSelf(loop, c.namespaces)
	pods := e.Pods()
	kit.WatchWith(loop, pods, kit.Handler[*corev1.Pod]{
		Delete: func(p *corev1.Pod) {
			if ns, ok := c.namespaces.Get("", p.Namespace); ok && ns.DeletionTimestamp != nil && len(pods.ListIn(p.Namespace)) == 0 {
				loop.Add(kit.Key{Name: p.Namespace})
			}
		},
	})
	return loop, nil
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	ns, ok := c.namespaces.Get("", key.Name)
	if !ok || ns.DeletionTimestamp == nil || !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
		return kit.Result{}, nil
	}
	ns, err := c.markTerminating(ctx, ns)
	if err != nil {
		return kit.Result{}, ignoreGone(err)
	}
	found := c.content.remove(ctx, ns.Name)
	if ctx.Err() != nil {
		return kit.Result{}, ctx.Err()
	}
	ns, err = c.writeConditions(ctx, ns, found)
	if err != nil {
		return kit.Result{}, ignoreGone(err)
	}
	switch {
	case found.done():
		return kit.Result{}, ignoreGone(c.finalize(ctx, ns))
	case found.discovery != nil:
		return kit.Result{}, fmt.Errorf("discovering the content: %w", found.discovery)
	case len(found.failed) > 0:
		return kit.Result{}, fmt.Errorf("deleting the content: %w", found.failed[0])
	}
	return kit.After(found.wait/2 + time.Second), nil
}

// ignoreGone takes a namespace that went meanwhile for success.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (c *controller) markTerminating(ctx context.Context, ns *corev1.Namespace) (*corev1.Namespace, error) {
	if ns.Status.Phase == corev1.NamespaceTerminating {
		return ns, nil
	}
	out := ns.DeepCopy()
	out.Status.Phase = corev1.NamespaceTerminating
	out, err := c.env.Kube.CoreV1().Namespaces().UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("marking as terminating: %w", err)
	}
	return out, nil
}

// writeConditions tells of what is left. A namespace that is emptied in the first pass gets none:
// it is gone before anybody could read them.
func (c *controller) writeConditions(ctx context.Context, ns *corev1.Namespace, found *outcome) (*corev1.Namespace, error) {
	conditions, changed := mergeConditions(ns.Status.Conditions, found.conditions(time.Now()))
	if !changed || found.done() && len(ns.Spec.Finalizers) == 1 && len(ns.Finalizers) == 0 {
		return ns, nil
	}
	out := ns.DeepCopy()
	out.Status.Conditions = conditions
	out, err := c.env.Kube.CoreV1().Namespaces().UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("updating conditions: %w", err)
	}
	return out, nil
}

func (c *controller) finalize(ctx context.Context, ns *corev1.Namespace) error {
	out := ns.DeepCopy()
	out.Spec.Finalizers = slices.DeleteFunc(out.Spec.Finalizers, func(f corev1.FinalizerName) bool {
		return f == corev1.FinalizerKubernetes
	})
	if _, err := c.env.Kube.CoreV1().Namespaces().Finalize(ctx, out, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("finalizing: %w", err)
	}
	return nil
}
