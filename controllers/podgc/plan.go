package podgc

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/controllers/podctl"
)

// planTerminated returns the oldest finished pods beyond the threshold; evicted ones first, for
// they hold no results.
func planTerminated(pods []*corev1.Pod, threshold int) []*corev1.Pod {
	var finished []*corev1.Pod
	for _, p := range pods {
		if podctl.Finished(p) && p.DeletionTimestamp == nil {
			finished = append(finished, p)
		}
	}
	excess := len(finished) - threshold
	if threshold < 0 || excess <= 0 {
		return nil
	}
	evicted := func(p *corev1.Pod) int {
		if p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted" {
			return 0
		}
		return 1
	}
	slices.SortFunc(finished, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(evicted(a), evicted(b)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return finished[:excess]
}

// unscheduledTerminating: being deleted and never given to a kubelet, so nobody will end it.
func unscheduledTerminating(p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil && p.Spec.NodeName == ""
}

// outOfService: being deleted on a node that is declared out of service and is not ready: its
// kubelet will not answer.
func outOfService(p *corev1.Pod, n *corev1.Node) bool {
	if p.DeletionTimestamp == nil {
		return false
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	return declaredOut(n)
}

func declaredOut(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}
