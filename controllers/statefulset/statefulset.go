// Package statefulset keeps pods with names, volumes and an order of their own.
//
//	StatefulSet, its pods ──▶ plan: one step ──▶ claims, pods made, removed ──▶ status
//
// A pod is known by its name, so that a step that was taken already fails with
// AlreadyExists or NotFound and does no harm.
package statefulset

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

var gvk = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// hashLabel marks revisions; pods carry the revision's name instead.
const hashLabel = "controller.kubernetes.io/hash"

type controller struct {
	kube      kubernetes.Interface
	sets      *kit.Informer[*appsv1.StatefulSet]
	pods      *kit.Informer[*corev1.Pod]
	claims    *kit.Informer[*corev1.PersistentVolumeClaim]
	revisions *kit.Informer[*appsv1.ControllerRevision]
	events    kit.Recorder
	losses    podctl.Losses
	loop      *kit.Controller
	offers    *kit.Offers
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		kube: e.Kube, sets: e.StatefulSets(), pods: e.Pods(), claims: e.PersistentVolumeClaims(), revisions: e.ControllerRevisions(),
		events: e.Events.Recorder("statefulset-controller"),
	}
	c.loop = e.Controller("statefulset-controller", c.reconcile)
	c.offers = kit.Offering(c.loop, c.sets, func(s *appsv1.StatefulSet, labels map[string]string) bool {
		return !selector.Empty(s.Spec.Selector) && selector.Matches(s.Spec.Selector, labels)
	})
	kit.WatchSelf(c.loop, c.sets)
	kit.Watch(c.loop, c.claims, c.setsOfClaim)
	kit.Watch(c.loop, c.revisions, func(r *appsv1.ControllerRevision) []kit.Key {
		if name, ok := podctl.ControlledBy(r, gvk.Kind); ok {
			return []kit.Key{{Namespace: r.Namespace, Name: name}}
		}
		return nil
	})
	c.pods.OnChange(kit.Handler[*corev1.Pod]{
		Update: func(old, p *corev1.Pod) {
			if set, ok := c.ownerOf(p); ok {
				c.losses.Changed(set, replicasOf(set), old, p, time.Now())
			}
		},
		Delete: func(p *corev1.Pod) {
			if set, ok := c.ownerOf(p); ok {
				c.losses.Gone(set, replicasOf(set), p, time.Now())
			}
		},
	})
	kit.Watch(c.loop, c.pods, c.setsOf) // after the losses are counted
	return c.loop, nil
}

// ownerOf is the set that controls a pod.
func (c *controller) ownerOf(p *corev1.Pod) (*appsv1.StatefulSet, bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != gvk.Kind {
		return nil, false
	}
	set, ok := c.sets.Get(p.Namespace, ref.Name)
	return set, ok && set.UID == ref.UID
}

// setsOf is the set that controls a pod. One without a controller is offered to all.
func (c *controller) setsOf(p *corev1.Pod) []kit.Key {
	if metav1.GetControllerOfNoCopy(p) != nil {
		if name, ok := podctl.ControlledBy(p, gvk.Kind); ok {
			return []kit.Key{{Namespace: p.Namespace, Name: name}}
		}
		return nil
	}
	if len(p.Labels) > 0 {
		c.offers.Offer(c.loop, p.Namespace, p.Labels)
	}
	return nil
}

// setsOfClaim are the sets whose policy a claim that is new or changed may follow.
func (c *controller) setsOfClaim(claim *corev1.PersistentVolumeClaim) []kit.Key {
	var keys []kit.Key
	for _, s := range c.sets.ListIn(claim.Namespace) {
		for i := range s.Spec.VolumeClaimTemplates {
			if strings.HasPrefix(claim.Name, s.Spec.VolumeClaimTemplates[i].Name+"-"+s.Name+"-") {
				keys = append(keys, kit.KeyOf(s))
				break
			}
		}
	}
	return keys
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	set, ok := c.sets.Get(key.Namespace, key.Name)
	if !ok {
		c.losses.Forget(key)
		return kit.Result{}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return kit.Result{}, kit.Terminal(fmt.Errorf("selector: %w", err))
	}
	pods, err := kit.Claim(ctx, c.claimer(set, selector), kit.Owned(c.pods, set.UID), c.namesakes(set))
	if err != nil {
		return kit.Result{}, err
	}
	owner := revisions.Owner{
		Object: set, Kind: gvk, Template: &set.Spec.Template, HashLabel: hashLabel,
		Limit: set.Spec.RevisionHistoryLimit, Collisions: set.Status.CollisionCount,
	}
	history, err := revisions.History(ctx, c.kube, owner, *c.claimer(set, selector), c.revisions)
	if err != nil {
		return kit.Result{}, err
	}
	update, err := c.ensure(ctx, set, owner, history)
	if err != nil {
		return kit.Result{}, err
	}
	current := update
	for _, r := range history {
		if r.Name == set.Status.CurrentRevision {
			current = r
		}
	}
	now := time.Now()
	p := planPods(snapshot{set: set, current: current.Name, update: update.Name, pods: pods, pause: c.losses.Pause(set, now), now: now})
	if p.held {
		c.losses.Tell(c.events, set, p.after)
	}
	if err = c.own(ctx, set, pods); err == nil {
		err = c.apply(ctx, set, p, current, update)
	}
	if err == nil {
		used := map[string]bool{current.Name: true, update.Name: true}
		for _, pod := range pods {
			used[revisionOf(pod)] = true
		}
		err = revisions.Prune(ctx, c.kube, owner, history, func(r *appsv1.ControllerRevision) bool { return used[r.Name] })
	}
	return kit.After(p.after), errors.Join(err, c.writeStatus(ctx, set, p.status))
}

// namesakes are orphans that could be the set's: only those with a name of its own.
func (c *controller) namesakes(set *appsv1.StatefulSet) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range kit.Orphans(c.pods, set.Namespace) {
		if ordinalOf(set, p) >= 0 {
			out = append(out, p)
		}
	}
	return out
}

func (c *controller) claimer(set *appsv1.StatefulSet, selector labels.Selector) *kit.Claimer {
	control := podctl.Control{Kube: c.kube, Events: c.events}
	return &kit.Claimer{
		Owner: set, Kind: gvk, Selector: selector, Patch: control.Patch,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return c.kube.AppsV1().StatefulSets(set.Namespace).Get(ctx, set.Name, metav1.GetOptions{})
		},
	}
}

func (c *controller) ensure(ctx context.Context, set *appsv1.StatefulSet, o revisions.Owner, history []*appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	r, collided, err := revisions.Ensure(ctx, c.kube, o, history)
	if collided {
		st := set.Status.DeepCopy()
		n := int32(1)
		if st.CollisionCount != nil {
			n += *st.CollisionCount
		}
		st.CollisionCount = &n
		return nil, errors.Join(err, c.writeStatus(ctx, set, *st))
	}
	return r, err
}

func (c *controller) apply(ctx context.Context, set *appsv1.StatefulSet, p plan, current, update *appsv1.ControllerRevision) error {
	for _, pod := range p.failed {
		c.events.Eventf(set, corev1.EventTypeWarning, "RecreatingFailedPod", "StatefulSet %s/%s is recreating failed Pod %s", set.Namespace, set.Name, pod.Name)
	}
	for _, pod := range p.remove {
		c.losses.Removing(set, pod.UID)
		if err := c.remove(ctx, set, pod); err != nil {
			return err
		}
	}
	for _, pod := range p.repair {
		out := pod.DeepCopy()
		identify(set, out)
		if _, err := c.kube.CoreV1().Pods(pod.Namespace).Update(ctx, out, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("restoring the identity of pod %s: %w", pod.Name, err)
		}
	}
	for _, s := range p.create {
		revision := current
		if s.update {
			revision = update
		}
		if err := c.create(ctx, set, s.ordinal, revision); err != nil {
			return err
		}
	}
	return nil
}

func (c *controller) create(ctx context.Context, set *appsv1.StatefulSet, ordinal int, r *appsv1.ControllerRevision) error {
	template, err := revisions.Template(r)
	if err != nil {
		return kit.Terminal(err)
	}
	pod := podOf(set, template, r.Name, ordinal)
	for _, claim := range claimsOf(set, ordinal) {
		if _, ok := c.claims.Get(claim.Namespace, claim.Name); ok {
			continue
		}
		_, err := c.kube.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			c.events.Eventf(set, corev1.EventTypeWarning, podctl.ReasonCreateFailed, "create Claim %s for Pod %s in StatefulSet %s failed error: %s",
				claim.Name, pod.Name, set.Name, err)
			return fmt.Errorf("creating claim %s: %w", claim.Name, err)
		}
		c.events.Eventf(set, corev1.EventTypeNormal, podctl.ReasonCreated, "create Claim %s Pod %s in StatefulSet %s success", claim.Name, pod.Name, set.Name)
	}
	_, err = c.kube.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	switch {
	case err == nil:
		c.events.Eventf(set, corev1.EventTypeNormal, podctl.ReasonCreated, "create Pod %s in StatefulSet %s successful", pod.Name, set.Name)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
	case apierrors.IsAlreadyExists(err): // made a moment ago, or somebody else's: either way its events bring us back
		return c.foreign(ctx, set, pod, err)
	default:
		c.events.Eventf(set, corev1.EventTypeWarning, podctl.ReasonCreateFailed, "create Pod %s in StatefulSet %s failed error: %s", pod.Name, set.Name, err)
		return fmt.Errorf("creating pod %s: %w", pod.Name, err)
	}
	return nil
}

// foreign tells of a pod that has the name and is not the set's.
func (c *controller) foreign(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod, cause error) error {
	have, err := c.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && metav1.IsControlledBy(have, set) {
		return nil
	}
	if err == nil {
		c.events.Eventf(set, corev1.EventTypeWarning, podctl.ReasonCreateFailed, "create Pod %s in StatefulSet %s failed error: %s", pod.Name, set.Name, cause)
		err = cause
	}
	return fmt.Errorf("creating pod %s: %w", pod.Name, err)
}

func (c *controller) remove(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod) error {
	err := c.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		c.events.Eventf(set, corev1.EventTypeWarning, podctl.ReasonDeleteFailed, "delete Pod %s in StatefulSet %s failed error: %s", pod.Name, set.Name, err)
		return fmt.Errorf("deleting pod %s: %w", pod.Name, err)
	}
	c.events.Eventf(set, corev1.EventTypeNormal, podctl.ReasonDeleted, "delete Pod %s in StatefulSet %s successful", pod.Name, set.Name)
	return nil
}

func (c *controller) writeStatus(ctx context.Context, set *appsv1.StatefulSet, st appsv1.StatefulSetStatus) error {
	if apiequality.Semantic.DeepEqual(set.Status, st) {
		return nil
	}
	out := set.DeepCopy()
	out.Status = st
	_, err := c.kube.AppsV1().StatefulSets(set.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("updating status: %w", err)
	}
	return nil
}
