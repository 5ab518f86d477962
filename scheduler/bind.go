package scheduler

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kit"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/queue"
)

const bindTimeout = 30 * time.Second

// bind writes the decision to the API. The pod counts as placed from now on; if
// the API refuses, it is taken off again and tried later.
func (s *Scheduler) bind(ctx context.Context, it *queue.Item, node string, began time.Time) {
	p, attempts, added := it.Pod.Pod, it.Attempts, it.Added
	s.write(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, bindTimeout)
		defer cancel()
		err := s.o.Kube.CoreV1().Pods(p.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		}, metav1.CreateOptions{})
		now := s.o.Now()
		if err != nil {
			s.metrics.result(p.Spec.SchedulerName, "error", now.Sub(began))
			s.inbox.failed(it, err)
			return
		}
		s.metrics.result(p.Spec.SchedulerName, "scheduled", now.Sub(began))
		s.metrics.scheduled(attempts, now.Sub(added))
		s.o.Recorder.Eventf(p, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s/%s to %s", p.Namespace, p.Name, node)
	})
}

// unbind takes back a decision that the API refused. What the informer says of
// the pod by now wins: it may be gone, or bound after all.
func (s *Scheduler) unbind(f failure) framework.Event {
	p := f.item.Pod
	var e framework.Event
	if have, ok := s.model.Pod(p.UID); ok && have.Assumed {
		s.model.Remove(p.UID)
		e = framework.PodGone
	}
	log := s.o.Logger.With("pod", kit.KeyOf(p.Pod), "err", f.err)
	now, known := s.pods.Get(p.Namespace, p.Name)
	switch {
	case !known || now.UID != p.UID || now.DeletionTimestamp != nil:
		log.Debug("pod went away while it was being bound")
		return e | s.forget(p.UID)
	case now.Spec.NodeName != "":
		log.Info("pod was bound although the answer was an error", "node", now.Spec.NodeName)
		return e | s.forget(p.UID) | s.hasNode(now)
	case apierrors.IsNotFound(f.err) || apierrors.IsConflict(f.err):
		log.Info("binding came too late, waiting for news of the pod")
	default:
		log.Error("binding failed, trying again")
		s.o.Recorder.Eventf(p.Pod, corev1.EventTypeWarning, "FailedScheduling", "binding rejected: %v", f.err)
	}
	s.queue.Requeue(f.item, 0, nil)
	if len(now.Spec.SchedulingGates) == 0 {
		return e | s.pending(now)
	}
	return e
}
