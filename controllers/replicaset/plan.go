package replicaset

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/podctl"
	"hyperkube/internal/bounds"
)

// snapshot is all that a plan depends on.
type snapshot struct {
	set     *appsv1.ReplicaSet
	pods    []*corev1.Pod      // claimed pods of every phase
	related map[string]int     // active pods of the same application, by node
	going   map[types.UID]bool // deleted already, and not seen to be
	pause   time.Duration      // before the next pod is made: see podctl.Losses
	now     time.Time
}

// plan is what to do to the pods of a set.
type plan struct {
	create int
	delete []*corev1.Pod
	after  time.Duration // when to look again
}

// planPods decides how many pods to make, or which to remove.
func planPods(s snapshot) plan {
	if s.set.DeletionTimestamp != nil {
		return plan{}
	}
	active := activeOf(s.pods)
	diff := len(active) - int(want(s.set))
	switch {
	case diff < 0 && s.pause > 0:
		return plan{after: s.pause}
	case diff < 0:
		return plan{create: min(-diff, bounds.Batch)}
	case diff > 0:
		ranked := active
		if diff < len(active) {
			ranked = podctl.RankForDeletion(active, s.related, s.now)
		}
		return plan{delete: ranked[:min(diff, bounds.Batch)]}
	}
	return plan{}
}

func want(set *appsv1.ReplicaSet) int32 {
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}

func activeOf(pods []*corev1.Pod) []*corev1.Pod {
	out := make([]*corev1.Pod, 0, len(pods))
	for _, p := range pods {
		if podctl.Active(p) {
			out = append(out, p)
		}
	}
	return out
}

// planStatus counts the pods as they are. failed is what came of the plan for them.
// after says when a ready pod will next become available.
func planStatus(s snapshot, acted plan, failed error) (st appsv1.ReplicaSetStatus, after time.Duration) {
	st = *s.set.Status.DeepCopy()
	st.Replicas, st.FullyLabeledReplicas, st.ReadyReplicas, st.AvailableReplicas = 0, 0, 0, 0
	var terminating int32
	template := labels.Set(s.set.Spec.Template.Labels).AsSelectorPreValidated()
	for _, p := range s.pods {
		if podctl.Finished(p) {
			continue
		}
		if p.DeletionTimestamp != nil || s.going[p.UID] {
			terminating++
			continue
		}
		st.Replicas++
		if template.Matches(labels.Set(p.Labels)) {
			st.FullyLabeledReplicas++
		}
		if !podctl.Ready(p) {
			continue
		}
		st.ReadyReplicas++
		ok, left := podctl.Available(p, s.set.Spec.MinReadySeconds, s.now)
		if ok {
			st.AvailableReplicas++
		} else if left > 0 && (after == 0 || left < after) {
			after = left
		}
	}
	st.TerminatingReplicas = &terminating
	st.ObservedGeneration = s.set.Generation
	st.Conditions = planFailure(st.Conditions, acted, failed, s.now)
	return st, after
}

// planFailure sets or clears the ReplicaFailure condition.
func planFailure(have []appsv1.ReplicaSetCondition, acted plan, failed error, now time.Time) []appsv1.ReplicaSetCondition {
	at := slices.IndexFunc(have, func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure })
	switch {
	case failed == nil && at >= 0:
		return slices.Delete(have, at, at+1)
	case failed == nil || at >= 0:
		return have
	}
	reason := podctl.ReasonCreateFailed
	if len(acted.delete) > 0 {
		reason = podctl.ReasonDeleteFailed
	}
	return append(have, appsv1.ReplicaSetCondition{
		Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
		Reason: reason, Message: fmt.Sprint(failed), LastTransitionTime: metav1.NewTime(now),
	})
}
