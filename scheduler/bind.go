package scheduler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kit"
	"hyperkube/scheduler/queue"
)

const bindTimeout = 30 * time.Second

// bind writes the decision to the API. The pod counts as placed from now on; if
// the API refuses, it is taken off again and tried later.
func (s *Scheduler) bind(ctx context.Context, it *queue.Item, node string, began time.Time) {
	select {
	case s.binders <- struct{}{}:
	case <-ctx.Done():
		return
	}
	p := it.Pod.Pod
	s.binding.Go(func() {
		defer func() { <-s.binders }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bindTimeout)
		defer cancel()
		err := s.o.Kube.CoreV1().Pods(p.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		}, metav1.CreateOptions{})
		if err == nil {
			s.metrics.attempt("scheduled", s.o.Now().Sub(began))
			s.o.Recorder.Eventf(p, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s/%s to %s", p.Namespace, p.Name, node)
			return
		}
		s.metrics.attempt("error", s.o.Now().Sub(began))
		s.inbox.failed(it, err)
	})
}

// unbind takes back a decision that the API refused.
func (s *Scheduler) unbind(f failure) {
	p := f.item.Pod
	have, _, ok := s.model.Pod(p.UID)
	if ok && have == p { // still only assumed: no newer state came from the API
		s.model.Remove(p.UID)
		s.queue.Wake(queue.PodGone)
	}
	if apierrors.IsNotFound(f.err) || apierrors.IsConflict(f.err) {
		// Deleted, or bound by somebody else: the informer says what is true now.
		s.o.Logger.Info("binding came too late", "pod", kit.KeyOf(p), "err", f.err)
	} else {
		s.o.Logger.Error("binding failed, trying again", "pod", kit.KeyOf(p), "err", f.err)
		s.o.Recorder.Eventf(p.Pod, corev1.EventTypeWarning, "FailedScheduling", "%s", fmt.Sprintf("binding rejected: %v", f.err))
	}
	s.queue.Requeue(f.item, 0)
}
