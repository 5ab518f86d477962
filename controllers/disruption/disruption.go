// Package disruption keeps the status of PodDisruptionBudgets: how many of their pods
// may be evicted now. The eviction subresource of pods takes from that number.
package disruption

import (
	"context"
	"fmt"
	"math"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/internal/selector"
	"hyperkube/kit"
)

type controller struct {
	env      *env.Env
	budgets  *kit.Informer[*policyv1.PodDisruptionBudget]
	pods     *kit.Informer[*corev1.Pod]
	sets     *kit.Informer[*appsv1.ReplicaSet]
	deploys  *kit.Informer[*appsv1.Deployment]
	stateful *kit.Informer[*appsv1.StatefulSet]
	rcs      *kit.Informer[*corev1.ReplicationController]
	events   kit.Recorder
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		env: e, budgets: e.PodDisruptionBudgets(), pods: e.Pods(), sets: e.ReplicaSets(), deploys: e.Deployments(),
		stateful: e.StatefulSets(), rcs: e.ReplicationControllers(), events: e.Events.Recorder("controllermanager"),
	}
	loop := e.Controller("disruption-controller", c.reconcile)
	kit.WatchSelf(loop, c.budgets)
	offers := kit.Offering(loop, c.budgets, func(b *policyv1.PodDisruptionBudget, labels map[string]string) bool {
		return selector.Matches(b.Spec.Selector, labels)
	})
	add := func(p *corev1.Pod) { offers.Offer(loop, p.Namespace, p.Labels) }
	kit.WatchWith(loop, c.pods, kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) { add(p) },
		Update: func(old, p *corev1.Pod) {
			relabelled := !apiequality.Semantic.DeepEqual(old.Labels, p.Labels)
			if relabelled {
				add(old)
			}
			if relabelled || podctl.Ready(old) != podctl.Ready(p) || podctl.Finished(old) != podctl.Finished(p) ||
				(old.DeletionTimestamp == nil) != (p.DeletionTimestamp == nil) {
				add(p)
			}
		},
		Delete: add,
	})
	// A controller that is new, gone or of another size changes what is expected: it may be seen after
	// its pods.
	resized := func(namespace string) {
		for _, b := range c.budgets.ListIn(namespace) {
			loop.Add(kit.KeyOf(b))
		}
	}
	watchSize(loop, c.sets, resized, func(s *appsv1.ReplicaSet) *int32 { return s.Spec.Replicas })
	watchSize(loop, c.deploys, resized, func(d *appsv1.Deployment) *int32 { return d.Spec.Replicas })
	watchSize(loop, c.stateful, resized, func(s *appsv1.StatefulSet) *int32 { return s.Spec.Replicas })
	watchSize(loop, c.rcs, resized, func(r *corev1.ReplicationController) *int32 { return r.Spec.Replicas })
	return loop, nil
}

// watchSize tells of the namespaces in which what wants pods comes, goes or changes its size.
func watchSize[T kit.Object](loop *kit.Controller, i *kit.Informer[T], resized func(namespace string), replicas func(T) *int32) {
	kit.WatchWith(loop, i, kit.Handler[T]{
		Add: func(o T, _ bool) { resized(o.GetNamespace()) },
		Update: func(old, o T) {
			if value(replicas(old)) != value(replicas(o)) {
				resized(o.GetNamespace())
			}
		},
		Delete: func(o T) { resized(o.GetNamespace()) },
	})
}

func value(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	b, ok := c.budgets.Get(key.Namespace, key.Name)
	if !ok {
		return kit.Result{}, nil
	}
	if _, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err != nil {
		return kit.Result{}, kit.Terminal(fmt.Errorf("selector: %w", err))
	}
	var pods []*corev1.Pod
	for _, p := range c.pods.ListIn(b.Namespace) {
		if !podctl.Finished(p) && selector.Matches(b.Spec.Selector, p.Labels) {
			pods = append(pods, p)
		}
	}
	if len(pods) == 0 {
		c.events.Event(b, corev1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	st, after, failed := planStatus(snapshot{budget: b, pods: pods, scale: c.scaleOf(pods), now: time.Now()})
	if failed != nil {
		c.events.Eventf(b, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", failed)
	}
	if apiequality.Semantic.DeepEqual(b.Status, st) {
		return kit.After(after), nil
	}
	out := b.DeepCopy()
	out.Status = st
	_, err := c.env.Kube.PolicyV1().PodDisruptionBudgets(b.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return kit.Result{}, fmt.Errorf("updating status: %w", err)
	}
	return kit.After(after), nil
}

// scaleOf adds up what the pods' controllers want, each once; below zero when some pod has none that
// can be asked.
func (c *controller) scaleOf(pods []*corev1.Pod) int32 {
	seen := map[types.UID]bool{}
	var n int64
	for _, p := range pods {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref == nil {
			return -1
		}
		uid, size, ok := c.sizeOf(p.Namespace, ref)
		if !ok {
			return -1
		}
		if !seen[uid] {
			seen[uid] = true
			n += int64(size)
		}
	}
	return int32(min(n, math.MaxInt32))
}

func (c *controller) sizeOf(namespace string, ref *metav1.OwnerReference) (types.UID, int32, bool) {
	switch ref.Kind {
	case "ReplicaSet":
		s, ok := c.sets.Get(namespace, ref.Name)
		if !ok || s.UID != ref.UID {
			return "", 0, false
		}
		if name, ok := podctl.ControlledBy(s, "Deployment"); ok {
			if d, ok := c.deploys.Get(namespace, name); ok {
				return d.UID, value(d.Spec.Replicas), true
			}
		}
		return s.UID, value(s.Spec.Replicas), true
	case "StatefulSet":
		s, ok := c.stateful.Get(namespace, ref.Name)
		if !ok || s.UID != ref.UID {
			return "", 0, false
		}
		return s.UID, value(s.Spec.Replicas), true
	case "ReplicationController":
		r, ok := c.rcs.Get(namespace, ref.Name)
		if !ok || r.UID != ref.UID {
			return "", 0, false
		}
		return r.UID, value(r.Spec.Replicas), true
	}
	return "", 0, false
}
