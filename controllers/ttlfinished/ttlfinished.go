// Package ttlfinished deletes finished jobs when their ttlSecondsAfterFinished is over.
package ttlfinished

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	jobs := e.Jobs()
	loop := e.Controller("ttl-after-finished-controller", func(ctx context.Context, key kit.Key) (kit.Result, error) {
		j, ok := jobs.Get(key.Namespace, key.Name)
		if !ok {
			return kit.Result{}, nil
		}
		at, ok := planExpiry(j)
		if !ok {
			return kit.Result{}, nil
		}
		if left := time.Until(at); left > 0 {
			return kit.After(left), nil
		}
		foreground := metav1.DeletePropagationForeground
		err := e.Kube.BatchV1().Jobs(j.Namespace).Delete(ctx, j.Name, metav1.DeleteOptions{
			PropagationPolicy: &foreground,
			// As it was looked at: its time may have been prolonged meanwhile.
			Preconditions: &metav1.Preconditions{UID: &j.UID, ResourceVersion: &j.ResourceVersion},
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return kit.Result{}, fmt.Errorf("deleting the finished job: %w", err)
		}
		return kit.Result{}, nil
	})
	kit.WatchWith(loop, jobs, kit.Handler[*batchv1.Job]{
		Add: func(j *batchv1.Job, _ bool) { add(loop, j) }, Update: func(_, j *batchv1.Job) { add(loop, j) },
	})
	return loop, nil
}

func add(loop *kit.Controller, j *batchv1.Job) {
	if _, ok := planExpiry(j); ok {
		loop.Add(kit.KeyOf(j))
	}
}

// planExpiry says when a job is to be deleted; false when it is not, or not yet known.
func planExpiry(j *batchv1.Job) (time.Time, bool) {
	if j.Spec.TTLSecondsAfterFinished == nil || j.DeletionTimestamp != nil {
		return time.Time{}, false
	}
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Add(time.Duration(*j.Spec.TTLSecondsAfterFinished) * time.Second), true
		}
	}
	return time.Time{}, false
}
