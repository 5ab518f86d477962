package job

import (
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retry is what the next pod of an index inherits from those that failed before it: the
// numbers stand in annotations of the pods, nowhere else. That is why a failed pod keeps its
// finalizer until the pod that follows it is there.
type retry struct {
	counted, ignored int
	last             time.Time // when the latest of them failed
}

func (r retry) total() int { return r.counted + r.ignored }

// left is how long the index has no new pod yet.
func (r retry) left(now time.Time) time.Duration { return backoff{r.total(), r.last}.left(now) }

func perIndex(j *batchv1.Job) bool { return isIndexed(j) && j.Spec.BackoffLimitPerIndex != nil }

// inherited are the failures before this pod.
func inherited(p *corev1.Pod) retry {
	number := func(annotation string) int {
		n, err := strconv.Atoi(p.Annotations[annotation])
		if err != nil {
			return 0
		}
		return max(n, 0)
	}
	return retry{
		counted: number(batchv1.JobIndexFailureCountAnnotation),
		ignored: number(batchv1.JobIndexIgnoredFailureCountAnnotation),
	}
}

// giveRetry writes the failures before it into a pod.
func giveRetry(p *corev1.Pod, r retry) {
	metav1.SetMetaDataAnnotation(&p.ObjectMeta, batchv1.JobIndexFailureCountAnnotation, strconv.Itoa(r.counted))
	if r.ignored > 0 {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, batchv1.JobIndexIgnoredFailureCountAnnotation, strconv.Itoa(r.ignored))
	}
}

// countIndexes finds the indexes that have failed for good and what the others inherit, and keeps
// failed pods that nobody inherited from yet out of strip.
func (t *tally) countIndexes(j *batchv1.Job, pods []*corev1.Pod, now time.Time) {
	text := ""
	if t.status.FailedIndexes != nil {
		text = *t.status.FailedIndexes
	}
	t.failedIndexes = parseIndexes(text, completions(j))
	if ending(t.status) { // the pods that this stops say nothing about their indexes
		return
	}
	t.retries = map[int]retry{}
	heirs := map[int]int{} // by index: the most failures that a pod inherited
	after := map[*corev1.Pod]retry{}
	var failed []int
	for _, p := range pods {
		i := indexOf(p)
		if i < 0 || i >= completions(j) {
			continue
		}
		heirs[i] = max(heirs[i], inherited(p).total())
		// One that was told to go for other reasons has lost its finalizer first.
		if !lost(j, p) || !tracked(p) && p.DeletionTimestamp != nil || t.closed(i) {
			continue
		}
		next, final := fate(j, p, now)
		if final {
			failed = append(failed, i)
			continue
		}
		after[p] = next
		if next.total() > t.retries[i].total() {
			t.retries[i] = next
		}
	}
	slices.Sort(failed)
	t.failedIndexes = t.failedIndexes.with(slices.Compact(failed))
	t.strip = slices.DeleteFunc(t.strip, func(p *corev1.Pod) bool {
		next, ok := after[p]
		hold := ok && heirs[indexOf(p)] < next.total() && !t.closed(indexOf(p))
		if hold {
			t.held = append(t.held, p)
		}
		return hold
	})
	out := t.failedIndexes.String()
	t.status.FailedIndexes = &out
}

// fate is what follows for the index from a failed pod: another try, or none.
func fate(j *batchv1.Job, p *corev1.Pod, now time.Time) (next retry, final bool) {
	next = inherited(p)
	switch action, _ := judge(j, p); action {
	case batchv1.PodFailurePolicyActionFailIndex:
		return next, true
	case batchv1.PodFailurePolicyActionIgnore:
		next.ignored++
	default:
		if next.counted >= int(*j.Spec.BackoffLimitPerIndex) {
			return next, true
		}
		next.counted++
	}
	next.last = endOf(p, now)
	return next, false
}

// closed reports whether an index needs no more pods.
func (t *tally) closed(i int) bool { return t.done.has(i) || t.failedIndexes.has(i) }
