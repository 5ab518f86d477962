// Package job runs pods until enough of them have succeeded, or too many have failed.
//
//	Job, its pods ──▶ count ──▶ plan ──▶ status ──▶ finalizers off ──▶ pods made, removed
//
// Every pod carries a finalizer. It is taken off only after the status that counts the
// pod has been written, so that each pod counts once, through crashes and
// deletions alike.
package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/internal/selector"
	"hyperkube/kit"
)

var gvk = batchv1.SchemeGroupVersion.WithKind("Job")

// managedByUs is what spec.managedBy says of jobs that are ours, when it says anything.
const managedByUs = "kubernetes.io/job-controller"

type controller struct {
	kube    kubernetes.Interface
	jobs    *kit.Informer[*batchv1.Job]
	pods    *kit.Informer[*corev1.Pod]
	control podctl.Control
	events  kit.Recorder
	expect  *kit.Expectations
	loop    *kit.Controller
	offers  *kit.Offers

	backoffs kit.Notes[backoff]
}

// New makes the controller. Its keys are jobs, and pods whose job is gone.
func New(e *env.Env) (env.Runner, error) {
	events := e.Events.Recorder("job-controller")
	c := &controller{
		kube: e.Kube, jobs: e.Jobs(), pods: e.Pods(), events: events, expect: kit.NewExpectations(),
		control: podctl.Control{Kube: e.Kube, Events: events},
	}
	c.loop = e.Controller("job-controller", c.reconcile)
	c.offers = kit.Offering(c.loop, c.jobs, func(j *batchv1.Job, labels map[string]string) bool {
		return !selector.Empty(j.Spec.Selector) && selector.Matches(j.Spec.Selector, labels)
	})
	kit.WatchWith(c.loop, c.jobs, kit.Handler[*batchv1.Job]{
		Add:    func(j *batchv1.Job, _ bool) { c.loop.Add(kit.KeyOf(j)) },
		Update: func(_, j *batchv1.Job) { c.loop.Add(kit.KeyOf(j)) },
		Delete: c.jobGone,
	})
	kit.WatchWith(c.loop, c.pods, kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) { c.podAdded(p) }, Update: c.podChanged, Delete: c.podGone,
	})
	return c.loop, nil
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	if name, ok := orphanName(key); ok {
		return kit.Result{}, c.freeOrphan(ctx, key.Namespace, name)
	}
	j, ok := c.jobs.Get(key.Namespace, key.Name)
	if !ok {
		c.expect.Forget(key)
		c.backoffs.Forget(key)
		return kit.Result{}, nil
	}
	if m := j.Spec.ManagedBy; m != nil && *m != managedByUs {
		return kit.Result{}, nil
	}
	wait := c.expect.Wait(key, j.UID)
	pods, err := c.claim(ctx, j)
	if err != nil {
		return kit.Result{}, err
	}
	s := snapshot{job: j, pods: pods, now: time.Now()}
	s.backoff, _ = c.backoffs.Get(key, j.UID)
	p := planJob(s)
	if err := c.apply(ctx, key, j, p, wait == 0); err != nil {
		return kit.Result{}, err
	}
	return kit.After(kit.Sooner(p.after, wait)), nil
}

func (c *controller) claim(ctx context.Context, j *batchv1.Job) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
	if err != nil {
		return nil, kit.Terminal(fmt.Errorf("selector: %w", err))
	}
	claimer := &kit.Claimer{
		Owner: j, Kind: gvk, Selector: selector, Patch: c.control.Patch, Finalizers: []string{batchv1.JobTrackingFinalizer},
		Live: func(ctx context.Context) (metav1.Object, error) {
			return c.kube.BatchV1().Jobs(j.Namespace).Get(ctx, j.Name, metav1.GetOptions{})
		},
	}
	var orphans []*corev1.Pod
	if !finished(j) {
		orphans = kit.Orphans(c.pods, j.Namespace)
	}
	return kit.Claim(ctx, claimer, kit.Owned(c.pods, j.UID), orphans)
}

// apply performs a plan. The status comes first: a pod loses its finalizer only when it is counted.
func (c *controller) apply(ctx context.Context, key kit.Key, j *batchv1.Job, p plan, act bool) error {
	if !apiequality.Semantic.DeepEqual(j.Status, p.status) {
		out := j.DeepCopy()
		out.Status = p.status
		if _, err := c.kube.BatchV1().Jobs(j.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{}); err != nil {
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("updating status: %w", err)
		}
		for _, e := range p.events {
			c.events.Event(j, e.kind, e.reason, e.message)
		}
		if p.backoff.failures > 0 {
			c.backoffs.Set(key, j.UID, p.backoff)
		} else {
			c.backoffs.Forget(key)
		}
	}
	err := kit.Parallel(ctx, len(p.strip), 16, func(ctx context.Context, i int) error { return c.free(ctx, p.strip[i]) })
	if err != nil || !act {
		return err
	}
	if len(p.remove) > 0 {
		return c.remove(ctx, key, j, p)
	}
	if p.create > 0 {
		return c.create(ctx, key, j, p)
	}
	return nil
}

// free takes the finalizer off a pod.
func (c *controller) free(ctx context.Context, p *corev1.Pod) error {
	if !slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"$deleteFromPrimitiveList/finalizers":[%q]}}`, p.UID, batchv1.JobTrackingFinalizer)
	err := c.control.Patch(ctx, p.Namespace, p.Name, []byte(patch))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("releasing pod %s: %w", p.Name, err)
	}
	return nil
}

func (c *controller) remove(ctx context.Context, key kit.Key, j *batchv1.Job, p plan) error {
	for _, pod := range p.remove {
		c.expect.Deletions(key, j.UID, pod.UID)
	}
	return kit.Parallel(ctx, len(p.remove), 16, func(ctx context.Context, i int) error {
		pod := p.remove[i]
		if p.forgive {
			if err := c.free(ctx, pod); err != nil {
				c.expect.Deleted(key, pod.UID)
				return err
			}
		}
		err := c.control.Delete(ctx, j, pod)
		if err != nil {
			c.expect.Deleted(key, pod.UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

func (c *controller) create(ctx context.Context, key kit.Key, j *batchv1.Job, p plan) error {
	c.expect.Creations(key, j.UID, p.create)
	done, err := kit.SlowStart(ctx, p.create, 1, func(ctx context.Context, i int) error {
		pod := podctl.FromTemplate(&j.Spec.Template, j, gvk)
		pod.Finalizers = append(pod.Finalizers, batchv1.JobTrackingFinalizer)
		if p.indexes != nil {
			giveIndex(pod, j, p.indexes[i])
			if p.retries != nil {
				giveRetry(pod, p.retries[p.indexes[i]])
			}
		}
		_, err := c.control.Create(ctx, j, pod)
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		return err
	})
	for range p.create - done {
		c.expect.Created(key)
	}
	return err
}
