package job

import (
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/podctl"
	"hyperkube/internal/bounds"
)

// tally is what the pods of a job amount to. A pod that ended is counted exactly once, whatever fails
// in between: its finalizer keeps it until the status says that it is being counted
// (uncountedTerminatedPods); when the finalizer is gone the counters say that it was.
type tally struct {
	active             []*corev1.Pod
	ready, terminating int32
	succeeded, failed  int32 // with the uncounted ones
	status             batchv1.JobStatus
	strip              []*corev1.Pod // may lose the finalizer once the status is written
	newFailed          []*corev1.Pod // not yet in the status before
	newSucceeded       int
	// later are pods that have ended and are not put down in the status yet: that list is bounded.
	later         struct{ succeeded, failed int32 }
	done          indexes
	failedIndexes indexes       // given up, of a job that limits failures per index
	retries       map[int]retry // by index that is tried again
	held          []*corev1.Pod // ended, counted, and not inherited from yet
	failJob       string        // the message of a failure policy that ends the job
}

func tracked(p *corev1.Pod) bool { return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }

func isIndexed(j *batchv1.Job) bool {
	return j.Spec.CompletionMode != nil && *j.Spec.CompletionMode == batchv1.IndexedCompletion
}

func completions(j *batchv1.Job) int {
	if j.Spec.Completions == nil {
		return -1
	}
	return int(*j.Spec.Completions)
}

// onlyFailed: a pod counts as failed only once it has failed, not when its deletion begins.
func onlyFailed(j *batchv1.Job) bool {
	return j.Spec.PodFailurePolicy != nil || j.Spec.PodReplacementPolicy != nil && *j.Spec.PodReplacementPolicy == batchv1.Failed
}

// lost reports whether a pod counts as failed. Nobody will ever run one that is deleted without a node.
func lost(j *batchv1.Job, p *corev1.Pod) bool {
	switch {
	case p.Status.Phase == corev1.PodFailed:
		return true
	case onlyFailed(j):
		return p.DeletionTimestamp != nil && p.Status.Phase == corev1.PodPending && p.Spec.NodeName == ""
	}
	return p.DeletionTimestamp != nil && p.Status.Phase != corev1.PodSucceeded
}

// count goes over the job's pods.
func count(j *batchv1.Job, pods []*corev1.Pod, now time.Time) tally {
	t := tally{status: *j.Status.DeepCopy()}
	held := map[types.UID]bool{} // ended and still with the finalizer
	for _, p := range pods {
		if tracked(p) {
			held[p.UID] = true
		}
	}
	counting := t.settle(held)
	if isIndexed(j) {
		t.done = parseIndexes(t.status.CompletedIndexes, completions(j))
	}
	done := map[int]bool{}
	for _, p := range pods {
		t.see(p)
		if !tracked(p) {
			continue
		}
		switch {
		case counting[p.UID]:
			t.strip = append(t.strip, p)
		case p.Status.Phase == corev1.PodSucceeded:
			if isIndexed(j) {
				t.strip = append(t.strip, p)
				if i := indexOf(p); i >= 0 && i < completions(j) && !t.done.has(i) && !done[i] {
					t.newSucceeded++
					done[i] = true
				}
			} else if t.full() {
				t.later.succeeded++
			} else {
				t.strip = append(t.strip, p)
				t.newSucceeded++
				t.uncounted().Succeeded = append(t.uncounted().Succeeded, p.UID)
			}
		case lost(j, p):
			action, message := judge(j, p)
			if action == batchv1.PodFailurePolicyActionFailJob && t.failJob == "" {
				t.failJob = message
			}
			switch {
			case action == batchv1.PodFailurePolicyActionIgnore:
				t.strip = append(t.strip, p)
			case t.full():
				t.later.failed++
			default:
				t.strip = append(t.strip, p)
				t.newFailed = append(t.newFailed, p)
				t.uncounted().Failed = append(t.uncounted().Failed, p.UID)
			}
		}
	}
	if isIndexed(j) {
		t.done = t.done.with(slices.Sorted(maps.Keys(done)))
		t.status.CompletedIndexes = t.done.String()
		t.status.Succeeded = int32(t.done.count())
	}
	if perIndex(j) {
		t.countIndexes(j, pods, now)
	}
	t.succeeded, t.failed = t.status.Succeeded+t.later.succeeded, t.status.Failed+t.later.failed
	if u := t.status.UncountedTerminatedPods; u != nil {
		t.succeeded += int32(len(u.Succeeded))
		t.failed += int32(len(u.Failed))
	}
	return t
}

// see puts a pod that has not ended among the active or the terminating.
func (t *tally) see(p *corev1.Pod) {
	switch {
	case podctl.Finished(p):
	case p.DeletionTimestamp != nil:
		t.terminating++
	default:
		t.active = append(t.active, p)
		if podctl.Ready(p) {
			t.ready++
		}
	}
}

// settle moves the uncounted pods whose finalizer is gone into the counters, and returns the rest.
func (t *tally) settle(held map[types.UID]bool) map[types.UID]bool {
	rest := map[types.UID]bool{}
	u := t.uncounted()
	move := func(uids []types.UID, counter *int32) []types.UID {
		return slices.DeleteFunc(uids, func(uid types.UID) bool {
			if held[uid] {
				rest[uid] = true
				return false
			}
			*counter++
			return true
		})
	}
	u.Succeeded = move(u.Succeeded, &t.status.Succeeded)
	u.Failed = move(u.Failed, &t.status.Failed)
	return rest
}

func (t *tally) uncounted() *batchv1.UncountedTerminatedPods {
	if t.status.UncountedTerminatedPods == nil {
		t.status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	return t.status.UncountedTerminatedPods
}

// full reports whether as many pods are between ended and counted as one status holds.
func (t *tally) full() bool {
	u := t.uncounted()
	return len(u.Succeeded)+len(u.Failed) >= bounds.Batch
}

// allCounted reports whether no pod is between ended and counted.
func (t *tally) allCounted() bool {
	u := t.uncounted()
	return len(u.Succeeded) == 0 && len(u.Failed) == 0 && t.later.succeeded+t.later.failed == 0
}

// endOf is when a pod ended, as far as it tells.
func endOf(p *corev1.Pod, now time.Time) time.Time {
	var end time.Time
	for _, s := range p.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && t.FinishedAt.After(end) {
			end = t.FinishedAt.Time
		}
	}
	switch {
	case !end.IsZero():
		return end
	case p.DeletionTimestamp != nil:
		return p.DeletionTimestamp.Time
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return now
}
