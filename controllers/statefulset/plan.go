package statefulset

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"hyperkube/controllers/podctl"
	"hyperkube/internal/bounds"
	"hyperkube/kit"
)

// snapshot is all that a plan depends on.
type snapshot struct {
	set             *appsv1.StatefulSet
	current, update string        // names of the revisions
	pods            []*corev1.Pod // claimed
	pause           time.Duration // before the next pod is made or made again: see podctl.Losses
	now             time.Time
}

// slot is a pod to create: its ordinal and the revision it is made from.
type slot struct {
	ordinal int
	update  bool // from the newest template, else from the one that rules until the update is done
}

// plan is what to do.
type plan struct {
	create []slot
	repair []*corev1.Pod // lost their identity
	remove []*corev1.Pod
	failed []*corev1.Pod // of those removed, the ones that had ended by themselves
	status appsv1.StatefulSetStatus
	after  time.Duration
	held   bool // a pod is missing and has to wait
}

func replicasOf(s *appsv1.StatefulSet) int {
	if s.Spec.Replicas == nil {
		return 1
	}
	return int(*s.Spec.Replicas)
}

func startOf(s *appsv1.StatefulSet) int {
	if s.Spec.Ordinals == nil {
		return 0
	}
	return int(s.Spec.Ordinals.Start)
}

func partitionOf(s *appsv1.StatefulSet) int {
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		return int(*r.Partition)
	}
	return 0
}

func ordered(s *appsv1.StatefulSet) bool {
	return s.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
}

// ordinalOf is the number in a pod's name, -1 when it is not one of the set's.
func ordinalOf(s *appsv1.StatefulSet, p *corev1.Pod) int {
	text, ok := strings.CutPrefix(p.Name, s.Name+"-")
	if !ok {
		return -1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || strconv.Itoa(n) != text {
		return -1
	}
	return n
}

func revisionOf(p *corev1.Pod) string { return p.Labels[appsv1.ControllerRevisionHashLabelKey] }

// planPods decides the next step. In order, one pod moves at a time, and only while all before it are well.
func planPods(s snapshot) plan {
	p := plan{}
	l, condemned := arrange(s)
	p.status = p.count(s)
	if s.set.DeletionTimestamp != nil {
		return p
	}
	if !p.fill(s, l) || !p.shrink(s, condemned) {
		return p
	}
	if s.set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		p.roll(s, l)
	}
	return p
}

// slots are the places of a set's pods: count in all, of which only those taken are held. A spec may
// ask for two thousand million.
type slots struct {
	count int
	pods  map[int]*corev1.Pod
}

// next are the slots to look at, in order: those taken, and of the others the first so many.
func (l slots) next(missing int) []int {
	out := slices.Collect(maps.Keys(l.pods))
	for at := 0; at < l.count && missing > 0; at++ {
		if l.pods[at] == nil {
			out = append(out, at)
			missing--
		}
	}
	slices.Sort(out)
	return out
}

// arrange puts pods into the slots they belong to; condemned ones belong to none, highest ordinal first.
func arrange(s snapshot) (l slots, condemned []*corev1.Pod) {
	l = slots{replicasOf(s.set), map[int]*corev1.Pod{}}
	for _, pod := range s.pods {
		i := ordinalOf(s.set, pod)
		switch at := i - startOf(s.set); {
		case i < 0:
		case at >= 0 && at < l.count:
			l.pods[at] = pod
		default:
			condemned = append(condemned, pod)
		}
	}
	slices.SortFunc(condemned, func(a, b *corev1.Pod) int { return cmp.Compare(ordinalOf(s.set, b), ordinalOf(s.set, a)) })
	return l, condemned
}

// well reports whether a pod runs, is ready and has been for long enough.
func (p *plan) well(s snapshot, pod *corev1.Pod) bool {
	if pod == nil || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return false
	}
	ok, left := podctl.Available(pod, s.set.Spec.MinReadySeconds, s.now)
	if left > 0 && (p.after == 0 || left < p.after) {
		p.after = left
	}
	return ok
}

// fill makes the pods that are missing; false: wait for what it began.
func (p *plan) fill(s snapshot, l slots) bool {
	settled := true
	for _, i := range l.next(bounds.Batch) {
		pod := l.pods[i]
		replaced := pod == nil || podctl.Finished(pod) && pod.DeletionTimestamp == nil
		switch {
		case replaced && s.pause > 0:
			p.after, p.held = kit.Sooner(p.after, s.pause), true
		case pod == nil:
			p.create = append(p.create, p.slotFor(s, i))
		case podctl.Finished(pod) && pod.DeletionTimestamp == nil:
			p.failed = append(p.failed, pod)
			p.remove = append(p.remove, pod)
		case !sound(s.set, pod):
			p.repair = append(p.repair, pod)
			continue
		case p.well(s, pod):
			continue
		}
		settled = false
		if ordered(s.set) {
			return false
		}
	}
	// In parallel nothing waits for pods that are not well, only for those that are being made.
	return settled || len(p.create) == 0 && len(p.remove) == 0
}

// slotFor decides which template a missing pod is made from.
func (p *plan) slotFor(s snapshot, at int) slot {
	rolling := s.set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType
	old := at < partitionOf(s.set)
	if s.set.Spec.UpdateStrategy.RollingUpdate == nil {
		old = at < int(s.set.Status.CurrentReplicas)
	}
	return slot{ordinal: startOf(s.set) + at, update: s.current == s.update || !(rolling && old)}
}

// shrink removes pods beyond the wanted number; false: wait for what it began. In order, the highest goes
// when it is well, or when it is the only one that is not: a set in trouble is left as it is.
func (p *plan) shrink(s snapshot, condemned []*corev1.Pod) bool {
	if len(condemned) == 0 {
		return true
	}
	if ordered(s.set) {
		last := condemned[0]
		others := slices.ContainsFunc(condemned[1:], func(pod *corev1.Pod) bool { return !p.well(s, pod) })
		if last.DeletionTimestamp == nil && (p.well(s, last) || !others) {
			p.remove = append(p.remove, last)
		}
		return false
	}
	for _, pod := range condemned {
		if pod.DeletionTimestamp == nil && len(p.remove) < bounds.Batch {
			p.remove = append(p.remove, pod)
		}
	}
	return false
}

// roll replaces the highest pod of an older template, when those above it are well.
func (p *plan) roll(s snapshot, l slots) {
	allowed := 1
	for i := l.count - 1; i >= partitionOf(s.set); i-- { // ends at the first that is missing
		pod := l.pods[i]
		switch {
		case pod == nil:
			allowed--
		case revisionOf(pod) != s.update && pod.DeletionTimestamp == nil:
			p.remove = append(p.remove, pod)
			allowed--
		case !p.well(s, pod):
			allowed--
		}
		if allowed <= 0 {
			return
		}
	}
}

// count makes the status from the pods as they are.
func (p *plan) count(s snapshot) appsv1.StatefulSetStatus {
	st := *s.set.Status.DeepCopy()
	st.ObservedGeneration = s.set.Generation
	st.Replicas, st.ReadyReplicas, st.AvailableReplicas, st.CurrentReplicas, st.UpdatedReplicas = 0, 0, 0, 0, 0
	st.CurrentRevision, st.UpdateRevision = s.current, s.update
	for _, pod := range s.pods {
		if ordinalOf(s.set, pod) < 0 || pod.Status.Phase == "" {
			continue
		}
		st.Replicas++
		if podctl.Ready(pod) && pod.Status.Phase == corev1.PodRunning {
			st.ReadyReplicas++
			if ok, _ := podctl.Available(pod, s.set.Spec.MinReadySeconds, s.now); ok {
				st.AvailableReplicas++
			}
		}
		if pod.DeletionTimestamp != nil {
			continue
		}
		if revisionOf(pod) == s.current {
			st.CurrentReplicas++
		}
		if revisionOf(pod) == s.update {
			st.UpdatedReplicas++
		}
	}
	rolling := s.set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType
	if rolling && st.UpdatedReplicas == st.Replicas && st.ReadyReplicas == st.Replicas && int(st.Replicas) == replicasOf(s.set) {
		st.CurrentReplicas, st.CurrentRevision = st.UpdatedReplicas, st.UpdateRevision
	}
	return st
}
