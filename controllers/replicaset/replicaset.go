// Package replicaset keeps as many pods as a ReplicaSet, or a
// ReplicationController, asks for.
//
//	ReplicaSet ─┐                        ┌─ create (1, 2, 4, … at once)
//	            ├─▶ claim pods ─▶ plan ──┤
//	pods ───────┘                        └─ delete, least valuable first ─▶ status
//
// ReplicationControllers are looked at as ReplicaSets; see kind.go.
package replicaset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/kit"
)

// New makes the controller of ReplicaSets.
func New(e *env.Env) (env.Runner, error) {
	sets := e.ReplicaSets()
	c := newController(e, setKind(e), "replicaset-controller")
	kit.WatchSelf(c.loop, sets)
	return c.loop, nil
}

// NewForReplicationControllers makes the controller of ReplicationControllers.
func NewForReplicationControllers(e *env.Env) (env.Runner, error) {
	c := newController(e, rcKind(e), "replicationcontroller-controller")
	kit.WatchSelf(c.loop, e.ReplicationControllers())
	return c.loop, nil
}

type controller struct {
	kind    kind
	pods    *kit.Informer[*corev1.Pod]
	control podctl.Control
	expect  *kit.Expectations
	losses  podctl.Losses
	loop    *kit.Controller
	offers  *kit.Offers
	log     *slog.Logger
}

func newController(e *env.Env, k kind, name string) *controller {
	source := "replicaset-controller"
	if k.gvk.Kind == "ReplicationController" {
		source = "replication-controller"
	}
	c := &controller{
		kind: k, pods: e.Pods(), expect: kit.NewExpectations(),
		control: podctl.Control{Kube: e.Kube, Events: e.Events.Recorder(source)},
	}
	c.loop = e.Controller(name, c.reconcile)
	c.log, c.offers = c.loop.Log(), k.offering(c.loop)
	kit.WatchWith(c.loop, c.pods, kit.Handler[*corev1.Pod]{
		Add:    func(p *corev1.Pod, _ bool) { c.podAdded(p) },
		Update: c.podChanged,
		Delete: func(p *corev1.Pod) {
			if set, ok := c.ownerOf(p); ok {
				c.losses.Gone(set, int(want(set)), p, time.Now())
			}
			c.podGone(p)
		},
	})
	return c
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	set, ok := c.kind.get(key)
	if !ok {
		c.expect.Forget(key)
		c.losses.Forget(key)
		return kit.Result{}, nil
	}
	// Both are asked before the pods are read: what is seen in between is then believed too late, never too early.
	wait, going := c.expect.Wait(key, set.UID), c.expect.Going(key)
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return kit.Result{}, kit.Terminal(fmt.Errorf("selector: %w", err))
	}
	claimer := &kit.Claimer{
		Owner: set, Kind: c.kind.gvk, Selector: selector, Patch: c.control.Patch,
		Live: func(ctx context.Context) (metav1.Object, error) { return c.kind.live(ctx, key) },
	}
	pods, err := kit.Claim(ctx, claimer, kit.Owned(c.pods, set.UID), kit.Orphans(c.pods, key.Namespace))
	if err != nil {
		return kit.Result{}, err
	}
	s := snapshot{set: set, pods: pods, now: time.Now()}
	s.pause = c.losses.Pause(set, s.now)
	var acted plan
	var failed error
	if wait == 0 {
		if n := len(pods); n > int(want(set)) {
			s.related = c.kind.related(set, c.pods)
		}
		acted = planPods(s)
		if acted.after > 0 {
			c.losses.Tell(c.control.Events, c.kind.object(set), acted.after)
		}
		failed = c.apply(ctx, key, set, acted)
	}
	// Pods told to go no longer count, though the informer still has them: whoever reads the status
	// (a rollout) relies on what it calls available.
	s.going = going
	for _, p := range acted.delete {
		if s.going == nil {
			s.going = map[types.UID]bool{}
		}
		s.going[p.UID] = true
	}
	status, after := planStatus(s, acted, failed)
	after = kit.Sooner(kit.Sooner(after, wait), acted.after)
	if err := c.writeStatus(ctx, set, status); err != nil {
		return kit.Result{}, errors.Join(failed, err)
	}
	return kit.After(after), failed
}

// apply makes or removes pods. Expectations are set before a pod can be seen.
func (c *controller) apply(ctx context.Context, key kit.Key, set *appsv1.ReplicaSet, p plan) error {
	owner := c.kind.object(set)
	switch {
	case p.create > 0:
		c.expect.Creations(key, set.UID, p.create)
		done, err := kit.SlowStart(ctx, p.create, 1, func(ctx context.Context, _ int) error {
			_, err := c.control.Create(ctx, owner, podctl.FromTemplate(&set.Spec.Template, set, c.kind.gvk))
			if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				return nil // the pods, and the set, are about to go anyway
			}
			return err
		})
		for range p.create - done { // never made, never seen
			c.expect.Created(key)
		}
		return err
	case len(p.delete) > 0:
		for _, d := range p.delete {
			c.expect.Deletions(key, set.UID, d.UID)
			c.losses.Removing(set, d.UID)
		}
		return kit.Parallel(ctx, len(p.delete), 16, func(ctx context.Context, i int) error {
			err := c.control.Delete(ctx, owner, p.delete[i])
			if err == nil {
				return nil
			}
			c.expect.Deleted(key, p.delete[i].UID) // no deletion will be seen
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	return nil
}

func (c *controller) writeStatus(ctx context.Context, set *appsv1.ReplicaSet, st appsv1.ReplicaSetStatus) error {
	if !c.kind.terminating {
		st.TerminatingReplicas = nil
	}
	if apiequality.Semantic.DeepEqual(set.Status, st) {
		return nil
	}
	if err := c.kind.writeStatus(ctx, set, st); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("updating status: %w", err)
	}
	return nil
}
