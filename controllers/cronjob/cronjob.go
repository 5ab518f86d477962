// Package cronjob starts jobs on a schedule and keeps as many finished ones as a
// CronJob wants. Between two times it costs one timer.
package cronjob

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
	"hyperkube/kit"
)

var gvk = batchv1.SchemeGroupVersion.WithKind("CronJob")

type controller struct {
	kube   kubernetes.Interface
	crons  *kit.Informer[*batchv1.CronJob]
	jobs   *kit.Informer[*batchv1.Job]
	events kit.Recorder
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{kube: e.Kube, crons: e.CronJobs(), jobs: e.Jobs(), events: e.Events.Recorder("cronjob-controller")}
	loop := e.Controller("cronjob-controller", c.reconcile)
	kit.WatchSelf(loop, c.crons)
	kit.Watch(loop, c.jobs, func(j *batchv1.Job) []kit.Key {
		if name, ok := podctl.ControlledBy(j, gvk.Kind); ok {
			return []kit.Key{{Namespace: j.Namespace, Name: name}}
		}
		return nil
	})
	return loop, nil
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	cj, ok := c.crons.Get(key.Namespace, key.Name)
	if !ok {
		return kit.Result{}, nil
	}
	p := planNext(snapshot{cron: cj, jobs: kit.Owned(c.jobs, cj.UID), now: time.Now()})
	for _, e := range p.events {
		c.events.Event(cj, e.kind, e.reason, e.message)
	}
	for _, j := range slices.Concat(p.remove, p.stop) {
		if err := c.remove(ctx, cj, j); err != nil {
			return kit.Result{}, err
		}
	}
	if p.create != nil {
		if err := c.create(ctx, cj, p.create, &p.status); err != nil {
			return kit.Result{}, err
		}
	}
	if !apiequality.Semantic.DeepEqual(cj.Status, p.status) {
		out := cj.DeepCopy()
		out.Status = p.status
		_, err := c.kube.BatchV1().CronJobs(cj.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return kit.Result{}, fmt.Errorf("updating status: %w", err)
		}
	}
	return kit.After(p.after), nil
}

func (c *controller) create(ctx context.Context, cj *batchv1.CronJob, j *batchv1.Job, st *batchv1.CronJobStatus) error {
	made, err := c.kube.BatchV1().Jobs(j.Namespace).Create(ctx, j, metav1.CreateOptions{})
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return kit.Terminal(err)
	case apierrors.IsAlreadyExists(err): // made a moment ago, and not seen yet; or somebody else's
		return nil
	case err != nil:
		c.events.Eventf(cj, corev1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		return fmt.Errorf("creating job: %w", err)
	}
	c.events.Eventf(cj, corev1.EventTypeNormal, "SuccessfulCreate", "Created job %v", made.Name)
	st.Active = append(st.Active, reference(made))
	return nil
}

func (c *controller) remove(ctx context.Context, cj *batchv1.CronJob, j *batchv1.Job) error {
	background := metav1.DeletePropagationBackground
	err := c.kube.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &j.UID}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		c.events.Eventf(cj, corev1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
		return fmt.Errorf("deleting job %s: %w", j.Name, err)
	}
	c.events.Eventf(cj, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted job %v", j.Name)
	return nil
}
