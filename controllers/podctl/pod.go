// Package podctl is what the workload controllers share about pods: judging
// them, and creating, deleting and adopting them with the standard events.
package podctl

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// Seconds is a number of seconds of a spec as a duration; one that does not fit is the longest
// there is, not one that is over.
func Seconds(n int64) time.Duration {
	return bounds.Seconds(max(n, 0))
}

// Finished reports whether the pod has succeeded or failed.
func Finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Active reports whether the pod counts as a replica: neither finished nor on its way out.
func Active(p *corev1.Pod) bool { return !Finished(p) && p.DeletionTimestamp == nil }

// Condition returns a condition of the pod, or nil.
func Condition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// Ready reports the pod's Ready condition.
func Ready(p *corev1.Pod) bool {
	c := Condition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// ReadySince is when the pod became ready, zero when it is not.
func ReadySince(p *corev1.Pod) time.Time {
	if c := Condition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// Available reports whether the pod has been ready for minReady seconds; when it is ready but
// not yet for so long, after says how long that still takes.
func Available(p *corev1.Pod, minReady int32, now time.Time) (ok bool, after time.Duration) {
	c := Condition(p, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return false, 0
	}
	if minReady == 0 {
		return true, 0
	}
	if c.LastTransitionTime.IsZero() {
		return false, 0
	}
	left := c.LastTransitionTime.Add(time.Duration(minReady) * time.Second).Sub(now)
	return left <= 0, max(left, 0)
}

// ControlledBy returns the name of the pod's controller when it is of that kind.
func ControlledBy(o metav1.Object, kind string) (name string, ok bool) {
	ref := metav1.GetControllerOfNoCopy(o)
	if ref == nil || ref.Kind != kind {
		return "", false
	}
	return ref.Name, true
}
