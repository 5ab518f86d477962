package core

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
	"hyperkube/internal/bounds"
	"hyperkube/store"
)

// deleteEvicted marks the pod as disrupted and starts its graceful end in one
// write; a pod that nothing runs is removed.
func deleteEvicted(ctx context.Context, env kind.Env, pods store.Collection, p *corev1.Pod, o metav1.DeleteOptions) error {
	key := store.Key{Namespace: p.Namespace, Name: p.Name}
	uid, gone := p.UID, false
	now := metav1.NewTime(env.Now()).Rfc3339Copy()
	err := update(ctx, pods, key, false, func(e *store.Entry) (store.Object, error) {
		live := e.Object.(*corev1.Pod)
		if err := meets(live, &metav1.Preconditions{UID: &uid}, key.Name); err != nil {
			return nil, err
		}
		grace := rules.PodGrace(live, o.GracePeriodSeconds)
		gone = grace == 0 && len(live.Finalizers) == 0
		return ending(live, grace, now), nil
	})
	if err != nil || !gone {
		return err
	}
	_, err = pods.Delete(ctx, key, func(e *store.Entry) error {
		return meets(e.Object.(*corev1.Pod), &metav1.Preconditions{UID: &uid}, key.Name)
	})
	return status(err, pods, key)
}

// ending is p with its end announced; an end that was announced before only
// comes nearer.
func ending(p *corev1.Pod, grace int64, now metav1.Time) *corev1.Pod {
	out := *p
	out.Status.Conditions = withCondition(p.Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI",
		Message: "Eviction API: evicting", LastTransitionTime: now, ObservedGeneration: p.Generation,
	})
	if p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds <= grace {
		return &out
	}
	start := now.Time
	if p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil {
		start = p.DeletionTimestamp.Add(-bounds.Seconds(*p.DeletionGracePeriodSeconds))
	}
	at := metav1.NewTime(start.Add(bounds.Seconds(grace)))
	if at.Before(&now) && grace > 0 {
		at = now
	}
	out.DeletionTimestamp, out.DeletionGracePeriodSeconds = &at, &grace
	if out.Generation > 0 {
		out.Generation++
	}
	return &out
}
