// Package nodeipam gives every node a block of the cluster's address range for its
// pods (spec.podCIDR, spec.podCIDRs) and takes it back when the node goes.
//
// The nodes themselves are the record: before the first block is given out, the
// blocks of all nodes that exist are marked as taken. One lock covers choosing
// a block and marking it, so that no two nodes ever get the same.
package nodeipam

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

type controller struct {
	env    *env.Env
	nodes  *kit.Informer[*corev1.Node]
	events kit.Recorder

	mu     sync.Mutex
	ranges []*blocks
	given  map[types.UID][]netip.Prefix // what each node holds, also while its patch is on the way
}

// New makes the controller; without cluster CIDRs or allocation it does nothing. Its keys are nodes.
func New(e *env.Env) (env.Runner, error) {
	if !e.Config.AllocateNodeCIDRs || len(e.Config.ClusterCIDRs) == 0 {
		return env.Idle{}, nil
	}
	c := &controller{
		env: e, nodes: e.Nodes(), given: map[types.UID][]netip.Prefix{},
		events: e.Events.Recorder("cidrAllocator"),
	}
	for _, cidr := range e.Config.ClusterCIDRs {
		size := e.Config.NodeMaskSizeIPv6
		if cidr.Addr().Is4() {
			size = e.Config.NodeMaskSizeIPv4
		}
		b, err := newBlocks(cidr, size)
		if err != nil {
			return nil, err
		}
		for _, s := range e.Config.ServiceCIDRs {
			b.occupy(s)
		}
		c.ranges = append(c.ranges, b)
	}
	loop := e.Controller("node-ipam-controller", c.reconcile)
	// Run starts the workers only when this handler has seen every node there is.
	kit.WatchWith(loop, c.nodes, kit.Handler[*corev1.Node]{
		Add: func(n *corev1.Node, _ bool) {
			c.note(n)
			loop.Add(kit.KeyOf(n))
		},
		Update: func(before, n *corev1.Node) {
			if before.UID != n.UID {
				c.forget(before) // its deletion was not seen
			}
			c.note(n)
			if len(n.Spec.PodCIDRs) == 0 {
				loop.Add(kit.KeyOf(n))
			}
		},
		Delete: func(n *corev1.Node) {
			c.forget(n)
			for _, waiting := range c.nodes.List() { // for a block, perhaps with a long pause between tries
				if len(waiting.Spec.PodCIDRs) == 0 {
					loop.Add(kit.KeyOf(waiting))
				}
			}
		},
	})
	return loop, nil
}

// note marks what a node holds as taken.
func (c *controller) note(n *corev1.Node) {
	if len(n.Spec.PodCIDRs) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.given[n.UID]; have != nil {
		if slices.Equal(texts(have), n.Spec.PodCIDRs) {
			return
		}
		c.releaseLocked(n.UID) // somebody else was first
	}
	held := []netip.Prefix{}
	for _, s := range n.Spec.PodCIDRs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			c.env.Log.Warn("node has a podCIDR that is none", "node", n.Name, "podCIDR", s)
			continue
		}
		inside := false
		for _, r := range c.ranges {
			free, in := r.occupy(p)
			inside = inside || in
			r.belongs(p, n.Name)
			if in && !free {
				c.env.Log.Error("two nodes hold overlapping podCIDRs", "node", n.Name, "podCIDR", s)
			}
		}
		if !inside {
			c.env.Log.Warn("podCIDR lies outside the cluster CIDRs", "node", n.Name, "podCIDR", s)
		}
		held = append(held, p)
	}
	c.given[n.UID] = held
}

// forget frees what a node held.
func (c *controller) forget(n *corev1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseLocked(n.UID)
}

func (c *controller) releaseLocked(uid types.UID) {
	for _, p := range c.given[uid] {
		for _, r := range c.ranges {
			r.release(p)
		}
	}
	delete(c.given, uid)
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	n, ok := c.nodes.Get("", key.Name)
	if !ok || len(n.Spec.PodCIDRs) > 0 || n.DeletionTimestamp != nil {
		return kit.Result{}, nil
	}
	held, err := c.reserve(n.UID, n.Name)
	if err != nil {
		c.events.Eventf(n, corev1.EventTypeNormal, "CIDRNotAvailable", "Node %s status is now: CIDRNotAvailable", n.Name)
		return kit.Result{}, err
	}
	err = c.write(ctx, n, held)
	switch {
	case err == nil:
		return kit.Result{}, nil
	case apierrors.IsNotFound(err), apierrors.IsInvalid(err), apierrors.IsConflict(err):
		// Surely not written: gone, another node of this name, or one that has a CIDR already.
		c.mu.Lock()
		c.releaseLocked(n.UID)
		c.mu.Unlock()
		if apierrors.IsNotFound(err) {
			return kit.Result{}, nil
		}
	}
	// It may have been written all the same: the blocks stay reserved and the same are tried again.
	return kit.Result{}, fmt.Errorf("writing podCIDRs: %w", err)
}

// reserve returns the blocks of a node, taking them the first time. A node that went meanwhile
// frees them through forget; one whose deletion was seen before frees them in reconcile.
func (c *controller) reserve(uid types.UID, node string) ([]netip.Prefix, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.given[uid]; held != nil {
		return held, nil
	}
	held := make([]netip.Prefix, 0, len(c.ranges))
	for _, r := range c.ranges {
		p, err := r.take(node)
		if err != nil {
			for i, h := range held {
				c.ranges[i].release(h)
			}
			return nil, err
		}
		held = append(held, p)
	}
	c.given[uid] = held
	return slices.Clone(held), nil
}

func (c *controller) write(ctx context.Context, n *corev1.Node, held []netip.Prefix) error {
	cidrs := texts(held)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": n.UID},
		"spec":     map[string]any{"podCIDR": cidrs[0], "podCIDRs": cidrs},
	})
	if err != nil {
		return err
	}
	_, err = c.env.Kube.CoreV1().Nodes().Patch(ctx, n.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

func texts(prefixes []netip.Prefix) []string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.String()
	}
	return out
}
