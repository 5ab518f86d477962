package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/kit"
	"hyperkube/scheduler/decide"
	"hyperkube/scheduler/queue"
)

const statusTimeout = 10 * time.Second

// fail parks a pod that fits nowhere, tells why, and makes room if it may.
func (s *Scheduler) fail(ctx context.Context, it *queue.Item, d decide.Decision) {
	nodes := len(s.model.Nodes())
	message := explain(d, nodes)
	var pre *decide.Preemption
	if it.Pod.Priority() > 0 && len(d.Open) > 0 && s.mayPreempt(it.Pod.Pod) {
		pre = s.decider.Preempt(it.Pod, s.model, d.Open, s.budgets.breaks)
	}
	if pre == nil && nodes > 0 && d.Refused == "" {
		message += fmt.Sprintf(" preemption: 0/%d nodes are available: %s", nodes, noHelp(d, nodes))
	}
	s.queue.Requeue(it, waitsFor(d))
	p, room := it.Pod.Pod, removalOf(pre)
	select {
	case s.binders <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.binding.Go(func() {
		defer func() { <-s.binders }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
		defer cancel()
		s.report(ctx, p, message, room)
		if room != nil {
			s.evict(ctx, p, room)
		}
	})
}

// removal is a preemption in the API's own objects, which, unlike the model's,
// may be looked at outside the loop.
type removal struct {
	node    string
	victims []*corev1.Pod
}

func removalOf(pre *decide.Preemption) *removal {
	if pre == nil {
		return nil
	}
	r := &removal{node: pre.Node.Name}
	for _, v := range pre.Victims {
		r.victims = append(r.victims, v.Pod)
	}
	return r
}

// mayPreempt is false while victims of an earlier round are still going.
func (s *Scheduler) mayPreempt(p *corev1.Pod) bool {
	n := s.model.Node(p.Status.NominatedNodeName)
	if n == nil {
		return true
	}
	return !slices.ContainsFunc(n.Pods, terminating)
}

// explain puts the reasons in the words that users search for.
func explain(d decide.Decision, nodes int) string {
	if d.Refused != "" {
		return fmt.Sprintf("0/%d nodes are available: %s.", nodes, d.Refused)
	}
	if nodes == 0 {
		return "no nodes available to schedule pods"
	}
	parts := make([]string, 0, len(d.Reasons))
	for reason, n := range d.Reasons {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", nodes, strings.Join(parts, ", "))
}

func noHelp(d decide.Decision, nodes int) string {
	var parts []string
	if n := len(d.Open); n > 0 {
		parts = append(parts, fmt.Sprintf("%d No preemption victims found for incoming pod", n))
	}
	if n := nodes - len(d.Open); n > 0 {
		parts = append(parts, fmt.Sprintf("%d Preemption is not helpful for scheduling", n))
	}
	return strings.Join(parts, ", ") + "."
}

// wakers says which changes may help a pod that a plugin refused; plugins that
// are not listed are helped by any change.
var wakers = map[string]queue.Event{
	"NodeName":          queue.NodeAdded,
	"NodeUnschedulable": queue.NodeAdded | queue.NodeChanged,
	"TaintToleration":   queue.NodeAdded | queue.NodeChanged,
	"NodeAffinity":      queue.NodeAdded | queue.NodeChanged,
	"NodePorts":         queue.NodeAdded | queue.PodGone,
	"NodeResourcesFit":  queue.NodeAdded | queue.NodeChanged | queue.PodGone,
}

func waitsFor(d decide.Decision) queue.Event {
	if len(d.Rejecters) == 0 {
		return queue.NodeAdded
	}
	var e queue.Event
	for name := range maps.Keys(d.Rejecters) {
		e |= cmp.Or(wakers[name], queue.Every)
	}
	return e
}

// report writes the condition, the nominated node and the event.
func (s *Scheduler) report(ctx context.Context, p *corev1.Pod, message string, room *removal) {
	s.o.Recorder.Eventf(p, corev1.EventTypeWarning, "FailedScheduling", "%s", message)
	cond := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message,
		ObservedGeneration: p.Generation, LastTransitionTime: metav1.NewTime(s.o.Now()),
	}
	nominated := p.Status.NominatedNodeName
	if room != nil {
		nominated = room.node
	}
	if nominated == p.Status.NominatedNodeName && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == cond.Type && c.Status == cond.Status && c.Reason == cond.Reason && c.Message == cond.Message
	}) {
		return
	}
	status := map[string]any{"conditions": []corev1.PodCondition{cond}}
	if room != nil {
		status["nominatedNodeName"] = nominated
	}
	s.patchStatus(ctx, p, status)
}

// evict removes the victims; they end gracefully.
func (s *Scheduler) evict(ctx context.Context, p *corev1.Pod, room *removal) {
	for _, v := range room.victims {
		s.patchStatus(ctx, v, map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
			Message:            fmt.Sprintf("%s: preempting to accommodate a higher priority pod", p.Spec.SchedulerName),
			LastTransitionTime: metav1.NewTime(s.o.Now()),
		}}})
		err := s.o.Kube.CoreV1().Pods(v.Namespace).Delete(ctx, v.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(v.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			s.o.Logger.Error("removing a pod for a more important one", "pod", kit.KeyOf(v), "for", kit.KeyOf(p), "err", err)
			continue
		}
		s.o.Recorder.Eventf(v, corev1.EventTypeNormal, "Preempted", "Preempted by pod %s on node %s", p.UID, room.node)
	}
}

func (s *Scheduler) patchStatus(ctx context.Context, p *corev1.Pod, status map[string]any) {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status})
	if err == nil {
		_, err = s.o.Kube.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	}
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		s.o.Logger.Warn("writing a pod's scheduling status", "pod", kit.KeyOf(p), "err", err)
	}
}
