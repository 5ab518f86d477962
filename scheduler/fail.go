package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/kit"
	"hyperkube/scheduler/decide"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/queue"
)

const statusTimeout = 10 * time.Second

// fail parks a pod that fits nowhere, tells why, and makes room if it may.
func (s *Scheduler) fail(ctx context.Context, it *queue.Item, decider *decide.Decider, d decide.Decision) {
	o := s.preempt(it.Pod, decider, d)
	message := decide.Explain(d, len(s.model.Nodes()))
	if o.note != "" {
		message += " preemption: " + o.note
	}
	s.queue.Requeue(it, cmp.Or(d.Waits, framework.NodeAdded), d.Rejecters)
	s.wake(o.freed)
	p := it.Pod.Pod
	if o.node != "" {
		s.making[p.UID] = true
	}
	s.write(ctx, func(ctx context.Context) {
		s.report(ctx, p, message, o)
		for _, q := range o.outranked {
			s.patchStatus(ctx, q, map[string]any{"nominatedNodeName": nil})
		}
		for _, v := range o.victims {
			s.evict(ctx, p, v, o.node)
		}
		if o.node != "" {
			s.inbox.roomMade(p.UID)
		}
	})
}

// report writes the condition, the nominated node and the event.
func (s *Scheduler) report(ctx context.Context, p *corev1.Pod, message string, o outcome) {
	s.o.Recorder.Eventf(p, corev1.EventTypeWarning, "FailedScheduling", "%s", message)
	cond := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message,
		ObservedGeneration: p.Generation, LastTransitionTime: metav1.NewTime(s.o.Now()),
	}
	said := false
	if i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == cond.Type }); i >= 0 {
		have := &p.Status.Conditions[i]
		said = have.Status == cond.Status && have.Reason == cond.Reason && have.Message == cond.Message
		if have.Status == cond.Status {
			cond.LastTransitionTime = have.LastTransitionTime
		}
	}
	status := map[string]any{"conditions": []corev1.PodCondition{cond}}
	switch {
	case o.node != "" && o.node != p.Status.NominatedNodeName:
		status["nominatedNodeName"] = o.node
	case o.lost && p.Status.NominatedNodeName != "":
		status["nominatedNodeName"] = nil
	case said:
		return
	}
	s.patchStatus(ctx, p, status)
}

// evict removes a victim; it ends gracefully.
func (s *Scheduler) evict(ctx context.Context, p, v *corev1.Pod, node string) {
	s.patchStatus(ctx, v, map[string]any{"conditions": []corev1.PodCondition{{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
		Message:            fmt.Sprintf("%s: preempting to accommodate a higher priority pod", p.Spec.SchedulerName),
		LastTransitionTime: metav1.NewTime(s.o.Now()),
	}}})
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	err := s.o.Kube.CoreV1().Pods(v.Namespace).Delete(ctx, v.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(v.UID))})
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err): // gone already
	case err != nil:
		s.o.Logger.Error("removing a pod for a more important one", "pod", kit.KeyOf(v), "for", kit.KeyOf(p), "err", err)
	default:
		s.o.Recorder.Eventf(v, corev1.EventTypeNormal, "Preempted", "Preempted by pod %s on node %s", p.UID, node)
	}
}

func (s *Scheduler) patchStatus(ctx context.Context, p *corev1.Pod, status map[string]any) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status})
	if err == nil {
		_, err = s.o.Kube.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		s.o.Logger.Warn("writing a pod's scheduling status", "pod", kit.KeyOf(p), "err", err)
	}
}
