package deployment

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of a deployment's conditions, as clients know them.
const (
	reasonAvailable    = "MinimumReplicasAvailable"
	reasonUnavailable  = "MinimumReplicasUnavailable"
	reasonSetCreated   = "NewReplicaSetCreated"
	reasonSetFound     = "FoundNewReplicaSet"
	reasonSetUpdated   = "ReplicaSetUpdated"
	reasonSetAvailable = "NewReplicaSetAvailable"
	reasonCreateFailed = "ReplicaSetCreateError"
	reasonTimedOut     = "ProgressDeadlineExceeded"
	reasonPaused       = "DeploymentPaused"
	reasonResumed      = "DeploymentResumed"
)

// countStatus adds up what the sets report.
func (p *planner) countStatus() appsv1.DeploymentStatus {
	d := p.deployment
	sets := p.old
	if p.current != nil {
		sets = append(slices.Clone(p.old), p.current)
	}
	st := *d.Status.DeepCopy()
	st.ObservedGeneration = d.Generation
	st.Replicas, st.ReadyReplicas, st.AvailableReplicas = fits(total(sets, actual)), fits(total(sets, ready)), fits(total(sets, reportedAvailable))
	st.UpdatedReplicas = 0
	if p.current != nil {
		st.UpdatedReplicas = p.current.Status.Replicas
	}
	planned := func(s *appsv1.ReplicaSet) int32 { return sizeOf(p.latest(s)) }
	st.UnavailableReplicas = fits(max(total(sets, planned)-int64(st.AvailableReplicas), 0))
	st.TerminatingReplicas = terminating(sets)
	_, unavailable := bounds(d)
	if st.AvailableReplicas >= replicasOf(d)-unavailable {
		setCondition(&st, newCondition(appsv1.DeploymentAvailable, corev1.ConditionTrue,
			reasonAvailable, "Deployment has minimum availability.", p.now))
	} else {
		setCondition(&st, newCondition(appsv1.DeploymentAvailable, corev1.ConditionFalse,
			reasonUnavailable, "Deployment does not have minimum availability.", p.now))
	}
	return st
}

// terminating is nil unless every set counts its terminating pods.
func terminating(sets []*appsv1.ReplicaSet) *int32 {
	for _, s := range sets {
		if s.Status.TerminatingReplicas == nil {
			return nil
		}
	}
	n := fits(total(sets, func(s *appsv1.ReplicaSet) int32 { return *s.Status.TerminatingReplicas }))
	return &n
}

// progress settles the status of a rollout and its Progressing and ReplicaFailure conditions.
func (p *planner) progress() error {
	d := p.deployment
	st := p.countStatus()
	if !hasDeadline(d) {
		dropCondition(&st, appsv1.DeploymentProgressing)
	}
	p.markResumed(&st)
	cond := condition(st, appsv1.DeploymentProgressing)
	rested := st.Replicas == st.UpdatedReplicas && cond != nil && cond.Reason == reasonSetAvailable
	if hasDeadline(d) && !rested {
		subject := fmt.Sprintf("Deployment %q", d.Name)
		if p.current != nil {
			subject = fmt.Sprintf("ReplicaSet %q", p.current.Name)
		}
		switch {
		case complete(d, st):
			setCondition(&st, newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue,
				reasonSetAvailable, subject+" has successfully progressed.", p.now))
		case progressed(d.Status, st):
			c := newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue,
				reasonSetUpdated, subject+" is progressing.", p.now)
			if cond != nil {
				if cond.Status == corev1.ConditionTrue {
					c.LastTransitionTime = cond.LastTransitionTime
				}
				dropCondition(&st, appsv1.DeploymentProgressing) // even the same reason is news: the deadline starts anew
			}
			setCondition(&st, c)
		case timedOut(d, cond, p.now):
			setCondition(&st, newCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse,
				reasonTimedOut, subject+" has timed out progressing.", p.now))
		case cond == nil && p.current != nil:
			setCondition(&st, newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue,
				reasonSetFound, fmt.Sprintf("Found new replica set %q", p.current.Name), p.now))
		}
	}
	p.setFailure(&st)
	p.plan.status = st
	p.plan.after = p.untilDeadline(st)
	return nil
}

// setFailure copies the failure of a set, the new one's first.
func (p *planner) setFailure(st *appsv1.DeploymentStatus) {
	dropCondition(st, appsv1.DeploymentReplicaFailure)
	sets := p.old
	if p.current != nil {
		sets = append([]*appsv1.ReplicaSet{p.current}, p.old...)
	}
	for _, s := range sets {
		for _, c := range s.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				setCondition(st, appsv1.DeploymentCondition{
					Type: appsv1.DeploymentReplicaFailure, Status: c.Status, Reason: c.Reason, Message: c.Message,
					LastTransitionTime: c.LastTransitionTime, LastUpdateTime: c.LastTransitionTime,
				})
				return
			}
		}
	}
}

// untilDeadline is how long a rollout that does not move may still take.
func (p *planner) untilDeadline(st appsv1.DeploymentStatus) time.Duration {
	d := p.deployment
	cond := condition(st, appsv1.DeploymentProgressing)
	if !hasDeadline(d) || cond == nil || complete(d, st) || cond.Reason == reasonTimedOut || cond.Reason == reasonSetAvailable {
		return 0
	}
	left := cond.LastUpdateTime.Add(time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second).Sub(p.now)
	return max(left, 0) + time.Second
}

// markPaused and markResumed stop and restart the clock of the progress deadline.
func (p *planner) markPaused() {
	cond := condition(p.plan.status, appsv1.DeploymentProgressing)
	if !hasDeadline(p.deployment) || cond != nil && (cond.Reason == reasonTimedOut || cond.Reason == reasonPaused) {
		return
	}
	setCondition(&p.plan.status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown,
		reasonPaused, "Deployment is paused", p.now))
}

func (p *planner) markResumed(st *appsv1.DeploymentStatus) {
	cond := condition(*st, appsv1.DeploymentProgressing)
	if hasDeadline(p.deployment) && cond != nil && cond.Reason == reasonPaused {
		setCondition(st, newCondition(appsv1.DeploymentProgressing, corev1.ConditionUnknown,
			reasonResumed, "Deployment is resumed", p.now))
	}
}

// hasDeadline: the largest number stands for none.
func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != 1<<31-1
}

// complete reports whether all pods are new, available and no old one is left.
func complete(d *appsv1.Deployment, st appsv1.DeploymentStatus) bool {
	n := replicasOf(d)
	return st.UpdatedReplicas == n && st.Replicas == n && st.AvailableReplicas == n && st.ObservedGeneration >= d.Generation
}

// progressed reports whether anything moved forward between two states.
func progressed(was, is appsv1.DeploymentStatus) bool {
	return is.UpdatedReplicas > was.UpdatedReplicas ||
		is.Replicas-is.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		is.ReadyReplicas > was.ReadyReplicas || is.AvailableReplicas > was.AvailableReplicas
}

func timedOut(d *appsv1.Deployment, cond *appsv1.DeploymentCondition, now time.Time) bool {
	switch {
	case cond == nil || cond.Reason == reasonSetAvailable || cond.Reason == reasonPaused:
		return false
	case cond.Reason == reasonTimedOut:
		return true
	}
	return cond.LastUpdateTime.Add(time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second).Before(now)
}

func newCondition(t appsv1.DeploymentConditionType, s corev1.ConditionStatus, reason, message string, now time.Time) appsv1.DeploymentCondition {
	at := metav1.NewTime(now)
	return appsv1.DeploymentCondition{
		Type: t, Status: s, Reason: reason, Message: message, LastUpdateTime: at, LastTransitionTime: at,
	}
}

func condition(st appsv1.DeploymentStatus, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range st.Conditions {
		if st.Conditions[i].Type == t {
			return &st.Conditions[i]
		}
	}
	return nil
}

// setCondition replaces a condition when its status or reason is another one.
func setCondition(st *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	have := condition(*st, c.Type)
	if have != nil && have.Status == c.Status && have.Reason == c.Reason {
		return
	}
	if have != nil && have.Status == c.Status {
		c.LastTransitionTime = have.LastTransitionTime
	}
	dropCondition(st, c.Type)
	st.Conditions = append(st.Conditions, c)
}

func dropCondition(st *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType) {
	st.Conditions = slices.DeleteFunc(st.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == t })
}
