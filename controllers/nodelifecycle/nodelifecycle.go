// Package nodelifecycle notices nodes that have fallen silent and tells everybody by
// conditions and taints.
//
//	lease renewed, status posted ──▶ seen
//	                                  │ nothing for the grace period
//	                                  ▼
//	            conditions Unknown ──▶ NoSchedule taints at once,
//	                                   NoExecute taint at a limited rate,
//	                                   pods not ready
//
// A node that lives costs one timer per grace period, whatever the number of its
// heartbeats. Pods are removed by the taint eviction controller.
package nodelifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/internal/bounds"
	"hyperkube/kit"
)

type controller struct {
	env    *env.Env
	nodes  *kit.Informer[*corev1.Node]
	events kit.Recorder
	loop   *kit.Controller
	zones  zones
	graces graces

	mu     sync.Mutex
	seen   map[string]time.Time // when each node last gave a sign of life, by our clock
	unwell map[string]bool      // turned not ready: its pods are still to be told
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		env: e, nodes: e.Nodes(), events: e.Events.Recorder("node-controller"),
		zones: zones{rate: e.Config.NodeEvictionRate}, graces: graces{e.Config.NodeMonitorGracePeriod, e.Config.NodeStartupGracePeriod},
		seen: map[string]time.Time{}, unwell: map[string]bool{},
	}
	c.loop = e.Controller("node-lifecycle-controller", c.reconcile)
	kit.WatchWith(c.loop, c.nodes, kit.Handler[*corev1.Node]{
		Add: func(n *corev1.Node, _ bool) {
			c.alive(n.Name)
			if is := conditionOf(n, corev1.NodeReady); is != nil && is.Status != corev1.ConditionTrue {
				c.turned(n.Name) // perhaps while nobody watched
			}
			c.loop.Add(kit.KeyOf(n))
			c.events.Eventf(n, corev1.EventTypeNormal, "RegisteredNode", "Node %s event: Registered Node %s in Controller", n.Name, n.Name)
		},
		Update: c.nodeChanged,
		Delete: c.nodeGone,
	})
	kit.WatchWith(c.loop, e.NodeLeases(), kit.Handler[*coordinationv1.Lease]{
		Update: func(old, l *coordinationv1.Lease) {
			if l.Spec.RenewTime != nil && !l.Spec.RenewTime.Equal(old.Spec.RenewTime) {
				c.alive(l.Name)
			}
		},
	})
	return c.loop, nil
}

func (c *controller) alive(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[node] = time.Now()
}

// turned notes that a node's pods must be told.
func (c *controller) turned(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwell[node] = true
}

// takeUnwell reports whether a node's pods must be told, and leaves that to the caller: a node that
// turns again meanwhile is noted anew.
func (c *controller) takeUnwell(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.unwell[node]
	delete(c.unwell, node)
	return was
}

func (c *controller) nodeChanged(old, n *corev1.Node) {
	was, is := conditionOf(old, corev1.NodeReady), conditionOf(n, corev1.NodeReady)
	if is != nil && (was == nil || !is.LastHeartbeatTime.Equal(&was.LastHeartbeatTime)) {
		c.alive(n.Name)
	}
	if was != nil && was.Status == corev1.ConditionTrue && is != nil && is.Status != corev1.ConditionTrue {
		c.turned(n.Name)
		c.events.Eventf(n, corev1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", n.Name)
	}
	if !sameHealth(old, n) {
		c.loop.Add(kit.KeyOf(n))
	}
}

// sameHealth compares what taints are made from, and the taints.
func sameHealth(a, b *corev1.Node) bool {
	if a.Spec.Unschedulable != b.Spec.Unschedulable || len(a.Spec.Taints) != len(b.Spec.Taints) ||
		len(a.Status.Conditions) != len(b.Status.Conditions) {
		return false
	}
	for i := range a.Spec.Taints {
		if a.Spec.Taints[i].Key != b.Spec.Taints[i].Key || a.Spec.Taints[i].Effect != b.Spec.Taints[i].Effect {
			return false
		}
	}
	for i := range a.Status.Conditions {
		x, y := &a.Status.Conditions[i], conditionOf(b, a.Status.Conditions[i].Type)
		if y == nil || x.Status != y.Status {
			return false
		}
	}
	return true
}

func (c *controller) nodeGone(n *corev1.Node) {
	c.mu.Lock()
	delete(c.seen, n.Name)
	delete(c.unwell, n.Name)
	c.mu.Unlock()
	c.events.Eventf(n, corev1.EventTypeNormal, "RemovingNode", "Node %s event: Removing Node %s from Controller", n.Name, n.Name)
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	// Before the node is read: a turn that is noted from here on is for the next look, not for one that
	// has an older state of the node in hand.
	unwell := c.takeUnwell(key.Name)
	n, ok := c.nodes.Get("", key.Name)
	if !ok {
		return kit.Result{}, nil
	}
	after, err := c.look(ctx, n, unwell)
	if err != nil && unwell {
		c.turned(key.Name)
	}
	return kit.After(after), err
}

// look judges a node, writes what follows, and tells its pods when it turned unwell: once, for a
// kubelet that lives knows better.
func (c *controller) look(ctx context.Context, n *corev1.Node, unwell bool) (time.Duration, error) {
	s := snapshot{node: n, graces: c.graces, now: time.Now()}
	c.mu.Lock()
	s.seen = c.seen[n.Name]
	c.mu.Unlock()
	p := planNode(s, func(n *corev1.Node) verdict { return c.zones.may(n, c.nodes.List, s.now) })
	if p.conditions != nil {
		out := n.DeepCopy()
		out.Status.Conditions = p.conditions
		out, err := c.env.Kube.CoreV1().Nodes().UpdateStatus(ctx, out, metav1.UpdateOptions{})
		if err != nil {
			return 0, fmt.Errorf("marking node as unknown: %w", err)
		}
		c.env.Log.Warn("node fell silent", "node", n.Name, "since", s.seen)
		n = out
	}
	if p.taints != nil {
		if err := c.writeTaints(ctx, n, p.taints); err != nil {
			return 0, err
		}
	}
	if unwell && readiness(n) != corev1.ConditionTrue {
		if err := c.eachPod(ctx, n.Name, c.unready); err != nil {
			return 0, err
		}
	}
	return p.after, nil
}

func (c *controller) writeTaints(ctx context.Context, n *corev1.Node, taints []corev1.Taint) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": n.ResourceVersion},
		"spec":     map[string]any{"taints": taints},
	})
	if err != nil {
		return err
	}
	_, err = c.env.Kube.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("tainting node: %w", err)
	}
	return nil
}

// eachPod calls f with the pods of a node, as the API server knows them: an informer of pods may lag
// behind the one of nodes, and nothing would come back to a pod that it had not shown yet.
func (c *controller) eachPod(ctx context.Context, node string, f func(context.Context, *corev1.Pod) error) error {
	opts := metav1.ListOptions{FieldSelector: "spec.nodeName=" + node, Limit: bounds.Batch}
	for {
		l, err := c.env.Kube.CoreV1().Pods(corev1.NamespaceAll).List(ctx, opts)
		if err != nil {
			return fmt.Errorf("listing the pods of node %s: %w", node, err)
		}
		err = kit.Parallel(ctx, len(l.Items), 16, func(ctx context.Context, i int) error {
			if p := &l.Items[i]; p.Spec.NodeName == node {
				return f(ctx, p)
			}
			return nil
		})
		if opts.Continue = l.Continue; err != nil || opts.Continue == "" {
			return err
		}
	}
}

// unready marks a pod as not ready, so that services leave it out.
func (c *controller) unready(ctx context.Context, p *corev1.Pod) error {
	if !podctl.Ready(p) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.UID},
		"status": map[string]any{"conditions": []map[string]any{{
			"type": corev1.PodReady, "status": corev1.ConditionFalse, "lastTransitionTime": metav1.Now(),
		}}},
	})
	if err != nil {
		return err
	}
	_, err = c.env.Kube.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil { // a conflict too: the list is asked again
		return fmt.Errorf("marking pod %s as not ready: %w", kit.KeyOf(p), err)
	}
	c.events.Event(p, corev1.EventTypeWarning, "NodeNotReady", "Node is not ready")
	return nil
}
