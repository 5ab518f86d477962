package tainteviction

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/controllers/podctl"
)

// planEviction says when a pod must leave a node with these NoExecute taints; false: it may stay.
// A pod tolerates the taints together for the shortest time that any matching toleration gives, counted
// from when the taint was added, or since, if the taint does not tell.
func planEviction(p *corev1.Pod, taints []corev1.Taint, since, now time.Time) (at time.Time, leave bool) {
	for i := range taints {
		t := &taints[i]
		added := since
		if t.TimeAdded != nil {
			added = t.TimeAdded.Time
		}
		if p.CreationTimestamp.After(added) {
			added = p.CreationTimestamp.Time
		}
		seconds, forever, tolerated := tolerance(p, t)
		switch {
		case !tolerated:
			return now, true
		case forever:
			continue
		}
		end := added.Add(podctl.Seconds(seconds))
		if !leave || end.Before(at) {
			at, leave = end, true
		}
	}
	return at, leave
}

// tolerance is how long a pod tolerates one taint.
func tolerance(p *corev1.Pod, t *corev1.Taint) (seconds int64, forever, tolerated bool) {
	forever = true
	for i := range p.Spec.Tolerations {
		tol := &p.Spec.Tolerations[i]
		if !tolerates(tol, t) {
			continue
		}
		tolerated = true
		if s := tol.TolerationSeconds; s != nil && (forever || *s < seconds) {
			seconds, forever = *s, false
		}
	}
	return seconds, forever, tolerated
}

func tolerates(tol *corev1.Toleration, t *corev1.Taint) bool {
	if tol.Effect != "" && tol.Effect != t.Effect || tol.Key != "" && tol.Key != t.Key {
		return false
	}
	switch tol.Operator {
	case corev1.TolerationOpExists:
		return true
	case "", corev1.TolerationOpEqual:
		return tol.Key != "" && tol.Value == t.Value
	}
	return false
}
