package podctl

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// RankForDeletion returns the pods in the order in which they should go: what is lost by
// deleting a pod grows along the result. related counts, by node, the active pods of
// the whole application, so that crowded nodes are thinned first. In order of
// weight: no node; Pending before Unknown before Running; not ready; lower
// deletion cost; crowded node; ready for a shorter time; more restarts; younger.
// Times are compared by magnitude, so that pods of about one age go in no particular order.
func RankForDeletion(pods []*corev1.Pod, related map[string]int, now time.Time) []*corev1.Pod {
	ranked := make([]rank, len(pods))
	for i, p := range pods {
		ranked[i] = rankOf(p, related, now)
	}
	slices.SortFunc(ranked, rank.compare)
	out := make([]*corev1.Pod, len(ranked))
	for i := range ranked {
		out[i] = ranked[i].pod
	}
	return out
}

type rank struct {
	pod      *corev1.Pod
	keys     [6]int64 // lower goes first
	restarts int32
	age      int64
}

func rankOf(p *corev1.Pod, related map[string]int, now time.Time) rank {
	r := rank{pod: p, age: magnitude(now, p.CreationTimestamp.Time)}
	for _, s := range p.Status.ContainerStatuses {
		r.restarts = max(r.restarts, s.RestartCount)
	}
	ready := ReadySince(p)
	r.keys[0] = flag(p.Spec.NodeName != "")
	r.keys[1] = phaseRank(p.Status.Phase)
	r.keys[2] = flag(Ready(p))
	r.keys[3] = DeletionCost(p)
	if p.Spec.NodeName != "" {
		r.keys[4] = -int64(related[p.Spec.NodeName])
	}
	if Ready(p) {
		r.keys[5] = magnitude(now, ready)
	}
	return r
}

func (r rank) compare(o rank) int {
	for i := range r.keys {
		if c := cmp.Compare(r.keys[i], o.keys[i]); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(o.restarts, r.restarts); c != 0 {
		return c
	}
	if c := cmp.Compare(r.age, o.age); c != 0 {
		return c
	}
	return cmp.Compare(r.pod.UID, o.pod.UID)
}

// magnitude is the logarithm of how long ago t was; 0 for now and the future.
func magnitude(now, t time.Time) int64 {
	d := now.Sub(t)
	if t.IsZero() || d <= 0 {
		return 0
	}
	return int64(math.Log2(float64(d))) + 1
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func phaseRank(p corev1.PodPhase) int64 {
	switch p {
	case corev1.PodPending:
		return 0
	case corev1.PodRunning:
		return 2
	}
	return 1
}

// DeletionCost is the pod's controller.kubernetes.io/pod-deletion-cost, 0 when absent or not a
// plain 32-bit number.
func DeletionCost(p *corev1.Pod) int64 {
	n, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return n
}
