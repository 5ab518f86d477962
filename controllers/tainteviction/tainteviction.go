// Package tainteviction removes pods from nodes that carry NoExecute taints which the
// pods do not tolerate, or tolerate only for a time that is over.
package tainteviction

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/kit"
)

type controller struct {
	env    *env.Env
	pods   *kit.Informer[*corev1.Pod]
	nodes  *kit.Informer[*corev1.Node]
	events kit.Recorder
	marked kit.Notes[time.Time] // pods that will go, and when that was first seen
}

// New makes the controller. Its keys are pods.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		env: e, pods: e.PodsOnNodes(), nodes: e.Nodes(),
		events: e.Events.Recorder("taint-eviction-controller"),
	}
	loop := e.Controller("taint-eviction-controller", c.reconcile)
	see := func(p *corev1.Pod) {
		if n, ok := c.nodes.Get("", p.Spec.NodeName); ok && len(noExecute(n)) > 0 {
			loop.Add(kit.KeyOf(p))
		}
	}
	kit.WatchWith(loop, c.pods, kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) { see(p) },
		Update: func(old, p *corev1.Pod) {
			if old.Spec.NodeName != p.Spec.NodeName || !apiequality.Semantic.DeepEqual(old.Spec.Tolerations, p.Spec.Tolerations) {
				see(p)
			}
		},
		Delete: func(p *corev1.Pod) { c.marked.Drop(kit.KeyOf(p), p.UID) },
	})
	all := func(n *corev1.Node) {
		for _, p := range c.pods.ByIndex(env.PodsByNode, n.Name) {
			loop.Add(kit.KeyOf(p))
		}
	}
	kit.WatchWith(loop, c.nodes, kit.Handler[*corev1.Node]{
		Add: func(n *corev1.Node, _ bool) {
			if len(noExecute(n)) > 0 {
				all(n)
			}
		},
		Update: func(old, n *corev1.Node) {
			if !slices.EqualFunc(noExecute(old), noExecute(n), func(a, b corev1.Taint) bool { return a.MatchTaint(&b) && a.Value == b.Value }) {
				all(n)
			}
		},
	})
	return loop, nil
}

func noExecute(n *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			out = append(out, t)
		}
	}
	return out
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	p, ok := c.pods.Get(key.Namespace, key.Name)
	if !ok || p.DeletionTimestamp != nil || podctl.Finished(p) {
		c.marked.Forget(key)
		return kit.Result{}, nil
	}
	n, ok := c.nodes.Get("", p.Spec.NodeName)
	if !ok {
		return kit.Result{}, nil
	}
	now := time.Now()
	since, marked := c.marked.Get(key, p.UID)
	if !marked {
		since = now
	}
	at, ok := planEviction(p, noExecute(n), since, now)
	if !ok {
		if c.marked.Drop(key, p.UID) {
			c.events.Eventf(p, corev1.EventTypeNormal, "TaintManagerEviction", "Cancelling deletion of Pod %s", key)
		}
		return kit.Result{}, nil
	}
	if left := at.Sub(now); left > 0 {
		c.marked.Set(key, p.UID, since)
		return kit.After(left), nil
	}
	return kit.Result{}, c.evict(ctx, p)
}

func (c *controller) evict(ctx context.Context, p *corev1.Pod) error {
	c.events.Eventf(p, corev1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s", kit.KeyOf(p))
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.UID},
		"status": map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager",
			Message: "Taint manager: deleting due to NoExecute taint", LastTransitionTime: metav1.Now(),
		}}},
	})
	if err != nil {
		return err
	}
	api := c.env.Kube.CoreV1().Pods(p.Namespace)
	_, err = api.Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err == nil {
		err = api.Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	}
	if err != nil && !apierrors.IsNotFound(err) { // a conflict too: the pod is looked at again
		return fmt.Errorf("evicting pod: %w", err)
	}
	return nil
}
