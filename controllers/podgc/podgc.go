// Package podgc removes pods that nobody else will: those of nodes that are gone,
// those deleted before they had a node, those on nodes out of service, and
// the oldest finished ones when there are too many.
//
// It acts on events and on one timer: a node counts as gone when it has been missing for a
// while and the API server confirms it.
package podgc

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/kit"
)

// quarantine is how long a node must be missing before its pods are removed.
const quarantine = 40 * time.Second

// Keys: a pod, "node/<name>" without a namespace, or the count of finished pods.
const (
	nodeKey     = "node/"
	finishedKey = "finished"
)

type controller struct {
	env      *env.Env
	pods     *kit.Informer[*corev1.Pod]
	nodes    *kit.Informer[*corev1.Node]
	finished atomic.Int64 // roughly; the plan counts
	loop     *kit.Controller
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{env: e, pods: e.PodsOnNodes(), nodes: e.Nodes()}
	c.loop = e.Controller("pod-garbage-collector-controller", c.reconcile)
	kit.WatchWith(c.loop, c.pods, kit.Handler[*corev1.Pod]{
		Add:    func(p *corev1.Pod, _ bool) { c.see(nil, p) },
		Update: c.see,
		Delete: func(p *corev1.Pod) {
			if podctl.Finished(p) {
				c.finished.Add(-1)
			}
		},
	})
	kit.WatchWith(c.loop, c.nodes, kit.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node, _ bool) { c.seeNode(n) },
		Update: func(_, n *corev1.Node) { c.seeNode(n) },
		Delete: func(n *corev1.Node) { c.loop.AddAfter(kit.Key{Name: nodeKey + n.Name}, quarantine) },
	})
	return c.loop, nil
}

func (c *controller) seeNode(n *corev1.Node) {
	if declaredOut(n) {
		c.loop.Add(kit.Key{Name: nodeKey + n.Name})
	}
}

func (c *controller) see(old, p *corev1.Pod) {
	if podctl.Finished(p) && (old == nil || !podctl.Finished(old)) {
		if n := c.finished.Add(1); c.env.Config.TerminatedPodGCThreshold >= 0 && n > int64(c.env.Config.TerminatedPodGCThreshold) {
			c.loop.AddAfter(kit.Key{Name: finishedKey}, time.Second)
		}
	}
	if unscheduledTerminating(p) {
		c.loop.Add(kit.KeyOf(p))
	}
	if p.Spec.NodeName == "" || old != nil && old.Spec.NodeName == p.Spec.NodeName && (old.DeletionTimestamp != nil || p.DeletionTimestamp == nil) {
		return
	}
	// Bound just now, or being deleted: is its node still there, and in service?
	switch n, ok := c.nodes.Get("", p.Spec.NodeName); {
	case !ok:
		c.loop.AddAfter(kit.Key{Name: nodeKey + p.Spec.NodeName}, quarantine)
	case p.DeletionTimestamp != nil:
		c.seeNode(n)
	}
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	switch {
	case key.Namespace != "":
		p, ok := c.pods.Get(key.Namespace, key.Name)
		if !ok || !unscheduledTerminating(p) {
			return kit.Result{}, nil
		}
		return kit.Result{}, c.remove(ctx, p, nil)
	case key.Name == finishedKey:
		return kit.Result{}, c.removeFinished(ctx)
	}
	return kit.Result{}, c.removeFromNode(ctx, key.Name[len(nodeKey):])
}

func (c *controller) removeFinished(ctx context.Context) error {
	old := planTerminated(c.pods.List(), c.env.Config.TerminatedPodGCThreshold)
	return kit.Parallel(ctx, len(old), 16, func(ctx context.Context, i int) error { return c.remove(ctx, old[i], nil) })
}

func (c *controller) removeFromNode(ctx context.Context, name string) error {
	if n, ok := c.nodes.Get("", name); ok {
		for _, p := range c.pods.ByIndex(env.PodsByNode, name) {
			if outOfService(p, n) {
				if err := c.remove(ctx, p, nil); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if _, err := c.env.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return err // it is there after all, or nobody knows
	}
	lost := c.pods.ByIndex(env.PodsByNode, name)
	return kit.Parallel(ctx, len(lost), 16, func(ctx context.Context, i int) error {
		return c.remove(ctx, lost[i], &corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByPodGC",
			Message: "PodGC: node no longer exists", LastTransitionTime: metav1.Now(),
		})
	})
}

// remove deletes a pod at once. One that did not finish is marked as failed first, so that its owner
// can tell what became of it.
func (c *controller) remove(ctx context.Context, p *corev1.Pod, why *corev1.PodCondition) error {
	api := c.env.Kube.CoreV1().Pods(p.Namespace)
	if !podctl.Finished(p) {
		status := map[string]any{"phase": corev1.PodFailed}
		if why != nil {
			status["conditions"] = []*corev1.PodCondition{why}
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status})
		if err != nil {
			return err
		}
		_, err = api.Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil { // a conflict too: the pod is looked at again
			return fmt.Errorf("marking pod %s as failed: %w", kit.KeyOf(p), err)
		}
	}
	zero := int64(0)
	err := api.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing pod %s: %w", kit.KeyOf(p), err)
	}
	return nil
}
