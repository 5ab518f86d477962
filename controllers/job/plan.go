package job

import (
	"cmp"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/podctl"
	"hyperkube/internal/bounds"
)

const (
	baseBackoff = 10 * time.Second // after the first failed pod
	maxBackoff  = 10 * time.Minute
)

// backoff is how often in a row a job's pods failed, and when the last one did.
type backoff struct {
	failures int
	last     time.Time
}

// next takes in pods that ended.
func (b backoff) next(t tally, now time.Time) backoff {
	if t.newSucceeded > 0 {
		b = backoff{}
	}
	for _, p := range t.newFailed {
		b.failures++
		if end := endOf(p, now); end.After(b.last) {
			b.last = end
		}
	}
	return b
}

// left is how long no pod may be made yet.
func (b backoff) left(now time.Time) time.Duration {
	if b.failures == 0 {
		return 0
	}
	d := maxBackoff
	if n := b.failures - 1; n < 10 {
		d = min(baseBackoff<<n, maxBackoff)
	}
	return max(b.last.Add(d).Sub(now), 0)
}

// snapshot is all that a plan depends on.
type snapshot struct {
	job     *batchv1.Job
	pods    []*corev1.Pod // claimed, of every phase
	backoff backoff
	now     time.Time
}

// plan is what to do: write the status, then take finalizers off, then make and remove pods.
type plan struct {
	status  batchv1.JobStatus
	strip   []*corev1.Pod
	create  int
	indexes []int         // of the pods to create, for an indexed job
	retries map[int]retry // what those inherit; nil unless failures are limited per index
	remove  []*corev1.Pod // active pods that are not wanted
	forgive bool          // those do not count as failed: their finalizer goes first
	backoff backoff
	after   time.Duration
	events  []event
}

type event struct{ kind, reason, message string }

func finished(j *batchv1.Job) bool {
	return isTrue(j.Status, batchv1.JobComplete) || isTrue(j.Status, batchv1.JobFailed)
}

func condition(st batchv1.JobStatus, t batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range st.Conditions {
		if st.Conditions[i].Type == t {
			return &st.Conditions[i]
		}
	}
	return nil
}

func isTrue(st batchv1.JobStatus, t batchv1.JobConditionType) bool {
	c := condition(st, t)
	return c != nil && c.Status == corev1.ConditionTrue
}

// ending: it is decided how the job ends, and what still runs is being stopped.
func ending(st batchv1.JobStatus) bool {
	return isTrue(st, batchv1.JobFailureTarget) || isTrue(st, batchv1.JobSuccessCriteriaMet)
}

func suspended(j *batchv1.Job) bool { return j.Spec.Suspend != nil && *j.Spec.Suspend }

// planJob decides the next step of a job.
func planJob(s snapshot) plan {
	j := s.job
	if finished(j) { // only the pods' finalizers are left to take off
		p := plan{status: j.Status}
		for _, pod := range s.pods {
			if tracked(pod) {
				p.strip = append(p.strip, pod)
			}
		}
		return p
	}
	t := count(j, s.pods, s.now)
	p := plan{backoff: s.backoff.next(t, s.now), strip: t.strip, retries: t.retries}
	p.begin(s, &t)
	if ending(t.status) || p.judge(s, &t) {
		p.strip = append(p.strip, t.held...) // nobody will follow them
		p.end(s, &t)
	} else if j.DeletionTimestamp == nil {
		p.size(s, &t)
		p.suspension(s, &t)
	}
	active := int32(len(t.active))
	t.status.Active, t.status.Ready, t.status.Terminating = active, &t.ready, &t.terminating
	if t.allCounted() && j.Status.UncountedTerminatedPods == nil {
		t.status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	p.status = t.status
	return p
}

// begin starts the clock of a job that may run.
func (p *plan) begin(s snapshot, t *tally) {
	if t.status.StartTime == nil && !suspended(s.job) {
		at := metav1.NewTime(s.now)
		t.status.StartTime = &at
	}
}

// judge decides whether the job has failed or succeeded by now.
func (p *plan) judge(s snapshot, t *tally) bool {
	j := s.job
	fail := func(reason, message string) bool {
		p.set(t, batchv1.JobFailureTarget, corev1.ConditionTrue, reason, message, s.now)
		return true
	}
	switch {
	case t.failJob != "":
		return fail(batchv1.JobReasonPodFailurePolicy, t.failJob)
	case j.Spec.MaxFailedIndexes != nil && t.failedIndexes.count() > int(*j.Spec.MaxFailedIndexes):
		return fail(batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes")
	case j.Spec.BackoffLimit != nil && (t.failed > *j.Spec.BackoffLimit || tooManyRestarts(j, t.active)):
		return fail(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
	}
	if d := j.Spec.ActiveDeadlineSeconds; d != nil && t.status.StartTime != nil && !suspended(j) {
		left := t.status.StartTime.Add(podctl.Seconds(*d)).Sub(s.now)
		if left <= 0 {
			return fail(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
		}
		p.again(left)
	}
	return p.judgeWork(s, t)
}

// judgeWork decides by the work that is done and that nobody will do.
func (p *plan) judgeWork(s snapshot, t *tally) bool {
	n := completions(s.job)
	if gone := t.failedIndexes.count(); gone > 0 && t.done.count()+gone >= n {
		p.set(t, batchv1.JobFailureTarget, corev1.ConditionTrue, batchv1.JobReasonFailedIndexes, "Job has failed indexes", s.now)
		return true
	}
	if i := successRule(s.job, t.done); i >= 0 {
		p.set(t, batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, batchv1.JobReasonSuccessPolicy, ruleMessage(i), s.now)
		return true
	}
	if n < 0 && t.succeeded > 0 && len(t.active) == 0 || n >= 0 && int(t.succeeded) >= n {
		p.set(t, batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, batchv1.JobReasonCompletionsReached,
			"Reached expected number of succeeded pods", s.now)
		return true
	}
	return false
}

// tooManyRestarts: with restartPolicy OnFailure failures are restarts of containers.
func tooManyRestarts(j *batchv1.Job, active []*corev1.Pod) bool {
	if j.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	var n int32
	for _, p := range active {
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range list {
				n += list[i].RestartCount
			}
		}
	}
	return n > 0 && n >= *j.Spec.BackoffLimit
}

// end stops what still runs, and closes the job when nothing does and all is counted.
func (p *plan) end(s snapshot, t *tally) {
	p.remove = t.active
	if len(t.active) > 0 || t.terminating > 0 || !t.allCounted() {
		return
	}
	if c := condition(t.status, batchv1.JobFailureTarget); c != nil && c.Status == corev1.ConditionTrue {
		p.set(t, batchv1.JobFailed, corev1.ConditionTrue, c.Reason, c.Message, s.now)
		p.events = append(p.events, event{corev1.EventTypeWarning, c.Reason, c.Message})
		return
	}
	c := condition(t.status, batchv1.JobSuccessCriteriaMet)
	p.set(t, batchv1.JobComplete, corev1.ConditionTrue, c.Reason, c.Message, s.now)
	at := metav1.NewTime(s.now)
	t.status.CompletionTime = &at
	p.events = append(p.events, event{corev1.EventTypeNormal, "Completed", "Job completed"})
}

// size decides how many pods should run.
func (p *plan) size(s snapshot, t *tally) {
	j := s.job
	want := 0
	if !suspended(j) {
		want = wanted(j, t)
	}
	surplus := p.duplicates(j, t)
	if n := len(t.active) - len(surplus) - want; n > 0 {
		surplus = append(surplus, leastValuable(j, t.active, surplus, n)...)
	}
	if len(surplus) > 0 {
		p.remove, p.forgive = surplus[:min(len(surplus), bounds.Batch)], true
		return
	}
	have := len(t.active)
	if onlyFailed(j) {
		have += int(t.terminating)
	}
	missing := min(want-have, bounds.Batch)
	if missing <= 0 {
		return
	}
	if left := p.backoff.left(s.now); left > 0 && !perIndex(j) {
		p.again(left)
		return
	}
	p.create = missing
	if isIndexed(j) {
		p.indexes = p.pick(missing, s, t)
		p.create = len(p.indexes)
	}
}

// pick returns up to n of the lowest indexes that need a pod now.
func (p *plan) pick(n int, s snapshot, t *tally) []int {
	taken := map[int]bool{}
	for _, pod := range s.pods {
		if !podctl.Finished(pod) && (pod.DeletionTimestamp == nil || onlyFailed(s.job)) {
			taken[indexOf(pod)] = true
		}
	}
	for i, r := range t.retries {
		if left := r.left(s.now); left > 0 && !t.closed(i) {
			taken[i] = true
			p.again(left)
		}
	}
	return firstFree(n, completions(s.job), t.done.join(t.failedIndexes), taken)
}

// wanted is how many pods should be active.
func wanted(j *batchv1.Job, t *tally) int {
	parallel := 1
	if j.Spec.Parallelism != nil {
		parallel = int(*j.Spec.Parallelism)
	}
	if n := completions(j); n >= 0 {
		return max(min(n-int(t.succeeded)-t.failedIndexes.count(), parallel), 0)
	}
	if t.succeeded > 0 { // the work is done; who is still at it may finish
		return min(len(t.active), parallel)
	}
	return parallel
}

// duplicates are active pods of an index that is done, has another pod already or does not exist.
func (p *plan) duplicates(j *batchv1.Job, t *tally) []*corev1.Pod {
	if !isIndexed(j) {
		return nil
	}
	var out []*corev1.Pod
	seen := map[int]bool{}
	slices.SortFunc(t.active, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, pod := range t.active {
		i := indexOf(pod)
		if i < 0 || i >= completions(j) || t.closed(i) || seen[i] {
			out = append(out, pod)
		}
		seen[i] = true
	}
	return out
}

// leastValuable picks n active pods to remove, besides those already picked: high indexes first.
func leastValuable(j *batchv1.Job, active, picked []*corev1.Pod, n int) []*corev1.Pod {
	gone := map[*corev1.Pod]bool{}
	for _, p := range picked {
		gone[p] = true
	}
	rest := slices.DeleteFunc(slices.Clone(active), func(p *corev1.Pod) bool { return gone[p] })
	if isIndexed(j) {
		slices.SortFunc(rest, func(a, b *corev1.Pod) int { return indexOf(b) - indexOf(a) })
	} else {
		rest = podctl.RankForDeletion(rest, nil, time.Time{})
	}
	return rest[:min(n, len(rest))]
}

// suspension keeps the Suspended condition.
func (p *plan) suspension(s snapshot, t *tally) {
	switch was := isTrue(t.status, batchv1.JobSuspended); {
	case suspended(s.job):
		if len(t.active) == 0 {
			t.status.StartTime = nil
		}
		if !was {
			p.set(t, batchv1.JobSuspended, corev1.ConditionTrue, "JobSuspended", "Job suspended", s.now)
			p.events = append(p.events, event{corev1.EventTypeNormal, "Suspended", "Job suspended"})
		}
	case was:
		p.set(t, batchv1.JobSuspended, corev1.ConditionFalse, "JobResumed", "Job resumed", s.now)
		p.events = append(p.events, event{corev1.EventTypeNormal, "Resumed", "Job resumed"})
		at := metav1.NewTime(s.now)
		t.status.StartTime = &at
	}
}

func (p *plan) set(t *tally, kind batchv1.JobConditionType, is corev1.ConditionStatus, reason, message string, now time.Time) {
	at := metav1.NewTime(now)
	c := batchv1.JobCondition{Type: kind, Status: is, Reason: reason, Message: message, LastProbeTime: at, LastTransitionTime: at}
	if have := condition(t.status, kind); have != nil {
		*have = c
		return
	}
	t.status.Conditions = append(t.status.Conditions, c)
}

func (p *plan) again(d time.Duration) {
	if p.after == 0 || d < p.after {
		p.after = d
	}
}
