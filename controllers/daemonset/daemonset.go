// Package daemonset keeps one pod of a DaemonSet on every node that it fits.
//
//	DaemonSet, nodes, its pods ──▶ survey by node ──▶ plan ──▶ pods made, removed ──▶ status
//
// Pods are pinned to their node by affinity and bound by the scheduler.
package daemonset

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/controllers/revisions"
	"hyperkube/internal/selector"
	"hyperkube/kit"
)

var gvk = appsv1.SchemeGroupVersion.WithKind("DaemonSet")

const (
	firstPause = time.Second // before a failed daemon is replaced; doubles
	longest    = 15 * time.Minute
)

type controller struct {
	kube      kubernetes.Interface
	sets      *kit.Informer[*appsv1.DaemonSet]
	pods      *kit.Informer[*corev1.Pod]
	nodes     *kit.Informer[*corev1.Node]
	revisions *kit.Informer[*appsv1.ControllerRevision]
	control   podctl.Control
	events    kit.Recorder
	expect    *kit.Expectations
	loop      *kit.Controller
	offers    *kit.Offers

	pauses kit.Notes[map[string]pause] // of failing daemons, by node
	losses podctl.Losses               // of daemons that somebody deleted before they ran
}

type pause struct {
	length time.Duration
	until  time.Time
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	events := e.Events.Recorder("daemonset-controller")
	c := &controller{
		kube: e.Kube, sets: e.DaemonSets(), pods: e.Pods(), nodes: e.Nodes(), revisions: e.ControllerRevisions(), events: events,
		control: podctl.Control{Kube: e.Kube, Events: events}, expect: kit.NewExpectations(),
	}
	c.loop = e.Controller("daemonset-controller", c.reconcile)
	c.offers = kit.Offering(c.loop, c.sets, func(d *appsv1.DaemonSet, labels map[string]string) bool {
		return !selector.Empty(d.Spec.Selector) && selector.Matches(d.Spec.Selector, labels)
	})
	kit.WatchSelf(c.loop, c.sets)
	kit.Watch(c.loop, c.revisions, func(r *appsv1.ControllerRevision) []kit.Key {
		if name, ok := podctl.ControlledBy(r, gvk.Kind); ok {
			return []kit.Key{{Namespace: r.Namespace, Name: name}}
		}
		return nil
	})
	kit.WatchWith(c.loop, c.pods, kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) { c.podAdded(p) },
		Update: func(old, p *corev1.Pod) {
			c.podGoing(p)
			if d, ok := c.ownerOf(p); ok && p.DeletionTimestamp != nil {
				c.losses.Changed(d, int(d.Status.DesiredNumberScheduled), old, p, time.Now())
			}
			for _, pod := range []*corev1.Pod{old, p} {
				if k, ok := c.owner(pod); ok {
					c.loop.Add(k)
				}
			}
		},
		Delete: func(p *corev1.Pod) {
			if d, ok := c.ownerOf(p); ok {
				c.losses.Gone(d, int(d.Status.DesiredNumberScheduled), p, time.Now())
				c.expect.Deleted(kit.KeyOf(d), p.UID)
				c.loop.Add(kit.KeyOf(d))
			}
		},
	})
	kit.WatchWith(c.loop, c.nodes, kit.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node, _ bool) { c.nodeChanged(nil, n) },
		Update: c.nodeChanged,
		Delete: func(n *corev1.Node) { c.nodeChanged(n, nil) },
	})
	return c.loop, nil
}

// ownerOf is the set that controls a pod.
func (c *controller) ownerOf(p *corev1.Pod) (*appsv1.DaemonSet, bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != gvk.Kind {
		return nil, false
	}
	d, ok := c.sets.Get(p.Namespace, ref.Name)
	return d, ok && d.UID == ref.UID
}

func (c *controller) owner(p *corev1.Pod) (kit.Key, bool) {
	d, ok := c.ownerOf(p)
	if !ok {
		return kit.Key{}, false
	}
	return kit.KeyOf(d), true
}

func (c *controller) podAdded(p *corev1.Pod) {
	if k, ok := c.owner(p); ok {
		c.expect.Created(k)
		c.podGoing(p)
		c.loop.Add(k)
		return
	}
	if metav1.GetControllerOfNoCopy(p) != nil || len(p.Labels) == 0 {
		return
	}
	c.offers.Offer(c.loop, p.Namespace, p.Labels)
}

func (c *controller) podGoing(p *corev1.Pod) {
	if k, ok := c.owner(p); ok && p.DeletionTimestamp != nil {
		c.expect.Deleted(k, p.UID)
	}
}

// nodeChanged looks at all sets when what they judge a node by has changed. Which of them it
// concerns is not asked here, where the news of all nodes wait: how long a set's affinity
// takes to compare is up to its author.
func (c *controller) nodeChanged(old, n *corev1.Node) {
	if old != nil && n != nil && judgedAlike(old, n) {
		return
	}
	for _, d := range c.sets.List() {
		c.loop.Add(kit.KeyOf(d))
	}
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	d, ok := c.sets.Get(key.Namespace, key.Name)
	if !ok {
		c.expect.Forget(key)
		c.pauses.Forget(key)
		c.losses.Forget(key)
		return kit.Result{}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil || selector.Empty() {
		c.events.Event(d, corev1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return kit.Result{}, nil
	}
	owner := revisions.Owner{
		Object: d, Kind: gvk, Template: &d.Spec.Template, HashLabel: appsv1.ControllerRevisionHashLabelKey,
		Limit: d.Spec.RevisionHistoryLimit, Collisions: d.Status.CollisionCount,
	}
	history, err := revisions.History(ctx, c.kube, owner, *c.claimer(d, selector), c.revisions)
	if err != nil {
		return kit.Result{}, err
	}
	current, err := c.ensure(ctx, d, owner, history)
	if err != nil {
		return kit.Result{}, err
	}
	wait := c.expect.Wait(key, d.UID)
	pods, err := kit.Claim(ctx, c.claimer(d, selector), kit.Owned(c.pods, d.UID), kit.Orphans(c.pods, d.Namespace))
	if err != nil {
		return kit.Result{}, err
	}
	hash := current.Labels[appsv1.ControllerRevisionHashLabelKey]
	now := time.Now()
	p := planDaemons(snapshot{
		set: d, hash: hash, nodes: c.nodes.List(), pods: pods, notUntil: c.pausesOf(d), pause: c.losses.Pause(d, now), now: now,
	})
	if p.held {
		c.losses.Tell(c.events, d, p.after)
	}
	if wait == 0 {
		if err := c.apply(ctx, key, d, hash, p); err != nil {
			return kit.Result{}, errors.Join(err, c.writeStatus(ctx, d, p.status))
		}
	}
	used := map[string]bool{hash: true}
	for _, pod := range pods {
		used[pod.Labels[appsv1.ControllerRevisionHashLabelKey]] = true
	}
	err = revisions.Prune(ctx, c.kube, owner, history, func(r *appsv1.ControllerRevision) bool {
		return r.Name == current.Name || used[r.Labels[appsv1.ControllerRevisionHashLabelKey]]
	})
	return kit.After(kit.Sooner(p.after, wait)), errors.Join(err, c.writeStatus(ctx, d, p.status))
}

func (c *controller) ensure(ctx context.Context, d *appsv1.DaemonSet, o revisions.Owner, history []*appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	r, collided, err := revisions.Ensure(ctx, c.kube, o, history)
	if collided {
		st := d.Status.DeepCopy()
		n := int32(1)
		if st.CollisionCount != nil {
			n += *st.CollisionCount
		}
		st.CollisionCount = &n
		return nil, errors.Join(err, c.writeStatus(ctx, d, *st))
	}
	return r, err
}

func (c *controller) claimer(d *appsv1.DaemonSet, selector labels.Selector) *kit.Claimer {
	return &kit.Claimer{
		Owner: d, Kind: gvk, Selector: selector, Patch: c.control.Patch,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return c.kube.AppsV1().DaemonSets(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		},
	}
}

func (c *controller) apply(ctx context.Context, key kit.Key, d *appsv1.DaemonSet, hash string, p plan) error {
	for _, pod := range p.failed {
		reason, message := failedMessage(pod)
		c.events.Event(d, corev1.EventTypeWarning, reason, message)
		c.lengthen(d, nodeOf(pod))
	}
	for _, pod := range p.remove {
		c.expect.Deletions(key, d.UID, pod.UID)
		c.losses.Removing(d, pod.UID)
	}
	err := kit.Parallel(ctx, len(p.remove), 16, func(ctx context.Context, i int) error {
		err := c.control.Delete(ctx, d, p.remove[i])
		if err != nil {
			c.expect.Deleted(key, p.remove[i].UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil || len(p.create) == 0 {
		return err
	}
	c.expect.Creations(key, d.UID, len(p.create))
	done, err := kit.SlowStart(ctx, len(p.create), 1, func(ctx context.Context, i int) error {
		pod := podctl.FromTemplate(&d.Spec.Template, d, gvk)
		metav1.SetMetaDataLabel(&pod.ObjectMeta, appsv1.ControllerRevisionHashLabelKey, hash)
		pin(&pod.Spec, p.create[i])
		for _, t := range added(pod.Spec.HostNetwork) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, t)
		}
		_, err := c.control.Create(ctx, d, pod)
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		return err
	})
	for range len(p.create) - done {
		c.expect.Created(key)
	}
	return err
}

// lengthen doubles the pause before the next daemon on a node is replaced. Pauses that are long
// over are dropped: nodes come and go.
func (c *controller) lengthen(d *appsv1.DaemonSet, node string) {
	now := time.Now()
	key := kit.KeyOf(d)
	have, _ := c.pauses.Get(key, d.UID)
	next := map[string]pause{}
	for name, p := range have {
		if now.Sub(p.until) < 2*longest {
			next[name] = p
		}
	}
	length := firstPause
	if was, ok := next[node]; ok {
		length = min(2*was.length, longest)
	}
	next[node] = pause{length, now.Add(length)}
	c.pauses.Set(key, d.UID, next)
}

func (c *controller) pausesOf(d *appsv1.DaemonSet) map[string]time.Time {
	have, _ := c.pauses.Get(kit.KeyOf(d), d.UID)
	out := map[string]time.Time{}
	for node, p := range have {
		out[node] = p.until
	}
	return out
}

func (c *controller) writeStatus(ctx context.Context, d *appsv1.DaemonSet, st appsv1.DaemonSetStatus) error {
	if apiequality.Semantic.DeepEqual(d.Status, st) {
		return nil
	}
	out := d.DeepCopy()
	out.Status = st
	_, err := c.kube.AppsV1().DaemonSets(d.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("updating status: %w", err)
	}
	return nil
}
