// Package deployment carries the pods of a Deployment from one template to the
// next, by sizing ReplicaSets: one for each template there ever was.
//
//	Deployment ──▶ claim ReplicaSets ──▶ plan: one step ──▶ apply ──▶ status
//	     ▲                                                     │
//	     └──── the sets report (replicas, ready, available) ◀──┘
//
// A step is small enough to keep the strategy's promise by itself: never fewer
// than replicas − maxUnavailable pods available, never more than replicas +
// maxSurge wanted.
package deployment

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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/internal/selector"
	"hyperkube/kit"
)

var gvk = appsv1.SchemeGroupVersion.WithKind("Deployment")

type controller struct {
	kube        kubernetes.Interface
	deployments *kit.Informer[*appsv1.Deployment]
	sets        *kit.Informer[*appsv1.ReplicaSet]
	pods        *kit.Informer[*corev1.Pod]
	events      kit.Recorder
	loop        *kit.Controller
	offers      *kit.Offers
}

// New makes the controller of Deployments.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		kube: e.Kube, deployments: e.Deployments(), sets: e.ReplicaSets(), pods: e.Pods(),
		events: e.Events.Recorder("deployment-controller"),
	}
	c.loop = e.Controller("deployment-controller", c.reconcile)
	c.offers = kit.Offering(c.loop, c.deployments, func(d *appsv1.Deployment, labels map[string]string) bool {
		return !selector.Empty(d.Spec.Selector) && selector.Matches(d.Spec.Selector, labels)
	})
	kit.WatchSelf(c.loop, c.deployments)
	kit.Watch(c.loop, c.sets, c.deploymentsOf)
	// Recreate waits for the last old pod to be gone, which no set reports.
	kit.WatchWith(c.loop, c.pods, kit.Handler[*corev1.Pod]{
		Update: func(old, p *corev1.Pod) {
			if podctl.Finished(p) && !podctl.Finished(old) {
				c.podEnded(p)
			}
		},
		Delete: c.podEnded,
	})
	return c.loop, nil
}

// deploymentsOf gives the deployment that controls a set; an orphan is offered to all.
func (c *controller) deploymentsOf(s *appsv1.ReplicaSet) []kit.Key {
	if metav1.GetControllerOfNoCopy(s) != nil {
		if name, ok := podctl.ControlledBy(s, gvk.Kind); ok {
			return []kit.Key{{Namespace: s.Namespace, Name: name}}
		}
		return nil
	}
	c.offers.Offer(c.loop, s.Namespace, s.Labels)
	return nil
}

func (c *controller) podEnded(p *corev1.Pod) {
	name, ok := podctl.ControlledBy(p, "ReplicaSet")
	if !ok {
		return
	}
	s, ok := c.sets.Get(p.Namespace, name)
	if !ok {
		return
	}
	if name, ok = podctl.ControlledBy(s, gvk.Kind); !ok {
		return
	}
	if d, ok := c.deployments.Get(p.Namespace, name); ok && !rolling(d) {
		c.loop.Add(kit.KeyOf(d))
	}
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	d, ok := c.deployments.Get(key.Namespace, key.Name)
	if !ok {
		return kit.Result{}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return kit.Result{}, kit.Terminal(fmt.Errorf("selector: %w", err))
	}
	if selector.Empty() {
		c.events.Event(d, corev1.EventTypeWarning, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
		st := d.Status.DeepCopy()
		st.ObservedGeneration = d.Generation
		return kit.Result{}, c.writeStatus(ctx, d, *st)
	}
	sets, err := kit.Claim(ctx, c.claimer(d, selector), kit.Owned(c.sets, d.UID), kit.Orphans(c.sets, d.Namespace))
	if err != nil {
		return kit.Result{}, err
	}
	s := snapshot{deployment: d, sets: sets, now: time.Now()}
	if !rolling(d) {
		s.busy = c.busy(sets)
	}
	next, err := planNext(s)
	if err != nil {
		return kit.Result{}, kit.Terminal(err)
	}
	return kit.After(next.after), c.apply(ctx, d, next)
}

func (c *controller) claimer(d *appsv1.Deployment, selector labels.Selector) *kit.Claimer {
	return &kit.Claimer{
		Owner: d, Kind: gvk, Selector: selector,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return c.kube.AppsV1().Deployments(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		},
		Patch: func(ctx context.Context, namespace, name string, patch []byte) error {
			_, err := c.kube.AppsV1().ReplicaSets(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}
}

// busy names the sets with pods that have not finished.
func (c *controller) busy(sets []*appsv1.ReplicaSet) map[string]bool {
	out := map[string]bool{}
	for _, s := range sets {
		for _, p := range kit.Owned(c.pods, s.UID) {
			if !podctl.Finished(p) {
				out[s.Name] = true
				break
			}
		}
	}
	return out
}

// apply performs a plan in its order and stops at the first failure: the next plan
// starts from what was reached.
func (c *controller) apply(ctx context.Context, d *appsv1.Deployment, p plan) error {
	if p.create != nil {
		if err := c.create(ctx, d, p.create); err != nil {
			return err
		}
	}
	for _, s := range p.update {
		if _, err := c.kube.AppsV1().ReplicaSets(s.Namespace).Update(ctx, s, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("updating replica set %s: %w", s.Name, err)
		}
		if n, ok := p.scaled[s.Name]; ok {
			c.tellScaling(d, s.Name, n)
		}
	}
	for _, s := range p.remove {
		err := c.kube.AppsV1().ReplicaSets(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion}})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("removing old replica set %s: %w", s.Name, err)
		}
	}
	d, err := c.noteRevision(ctx, d, p.revision)
	if err != nil {
		return err
	}
	return c.writeStatus(ctx, d, p.status)
}

func (c *controller) tellScaling(d *appsv1.Deployment, set string, n scaling) {
	direction := "up"
	if n.to < n.from {
		direction = "down"
	}
	c.events.Eventf(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", direction, set, n.from, n.to)
}

// create makes the new set. A name that is taken by another template's set is a collision of
// hashes: the next try uses another one.
func (c *controller) create(ctx context.Context, d *appsv1.Deployment, s *appsv1.ReplicaSet) error {
	sets := c.kube.AppsV1().ReplicaSets(s.Namespace)
	_, err := sets.Create(ctx, s, metav1.CreateOptions{})
	switch {
	case err == nil:
		if n := sizeOf(s); n > 0 {
			c.tellScaling(d, s.Name, scaling{0, n})
		}
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return kit.Terminal(err)
	case apierrors.IsAlreadyExists(err):
		have, getErr := sets.Get(ctx, s.Name, metav1.GetOptions{})
		if getErr != nil {
			return fmt.Errorf("replica set %s: %w", s.Name, getErr)
		}
		if metav1.IsControlledBy(have, d) && sameTemplate(&have.Spec.Template, &d.Spec.Template) {
			return nil // made a moment ago, and not seen yet
		}
		st := d.Status.DeepCopy()
		collisions := int32(1)
		if st.CollisionCount != nil {
			collisions += *st.CollisionCount
		}
		st.CollisionCount = &collisions
		return errors.Join(fmt.Errorf("pod template hash collision on %s: %w", s.Name, err), c.writeStatus(ctx, d, *st))
	}
	c.events.Eventf(d, corev1.EventTypeWarning, reasonCreateFailed, "Failed to create new replica set %q: %v", s.Name, err)
	st := d.Status.DeepCopy()
	if hasDeadline(d) {
		setCondition(st, newCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonCreateFailed,
			fmt.Sprintf("Failed to create new replica set %q: %v", s.Name, err), time.Now()))
	}
	return errors.Join(fmt.Errorf("creating replica set %s: %w", s.Name, err), c.writeStatus(ctx, d, *st))
}

// noteRevision writes the revision annotation and returns the deployment as it then is.
func (c *controller) noteRevision(ctx context.Context, d *appsv1.Deployment, revision string) (*appsv1.Deployment, error) {
	if revision == "" {
		return d, nil
	}
	// Not a patch: the default policy lets this controller update deployments only.
	out := d.DeepCopy()
	metav1.SetMetaDataAnnotation(&out.ObjectMeta, revisionAnnotation, revision)
	out, err := c.kube.AppsV1().Deployments(d.Namespace).Update(ctx, out, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("noting revision %s: %w", revision, err)
	}
	return out, nil
}

func (c *controller) writeStatus(ctx context.Context, d *appsv1.Deployment, st appsv1.DeploymentStatus) error {
	if apiequality.Semantic.DeepEqual(d.Status, st) {
		return nil
	}
	out := d.DeepCopy()
	out.Status = st
	_, err := c.kube.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("updating status: %w", err)
	}
	return nil
}
