package job

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"hyperkube/controllers/podctl"
)

// ledger is how many pods a job let go because it counted them.
type ledger struct{ released int32 }

// TestEveryPodCountsOnce: whatever pods do and wherever the controller is cut off, a job ends, and its
// counters say how many pods there were.
func TestEveryPodCountsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: time.Unix(1e9, 0), job: drawJob(t)}
		var l ledger
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			w.chance(t)
			w.cut(t, &l, rapid.IntRange(0, 4).Draw(t, "cut"))
		}
		no := false
		w.job.Spec.Suspend = &no
		for i := 0; !finished(w.job); i++ {
			if i > 400 {
				t.Fatalf("the job does not end: %+v", w.job.Status)
			}
			for _, p := range w.pods {
				if podctl.Active(p) {
					w.end(p, 0)
				}
			}
			w.gone()
			w.now = w.now.Add(time.Minute)
			w.cut(t, &l, -1)
		}
		w.cut(t, &l, -1)
		if i := slices.IndexFunc(w.pods, tracked); i >= 0 {
			t.Fatalf("pod %s is held for ever", w.pods[i].Name)
		}
		st := w.job.Status
		// Of an index that succeeded twice one success counts.
		if n := st.Failed + st.Succeeded; n > l.released || !isIndexed(w.job) && n != l.released {
			t.Fatalf("the status counts %d succeeded and %d failed of %d pods", st.Succeeded, st.Failed, l.released)
		}
		if isTrue(st, batchv1.JobComplete) && w.job.Spec.Completions != nil && int(st.Succeeded) < completions(w.job) && w.job.Spec.SuccessPolicy == nil {
			t.Fatalf("complete with %d of %d", st.Succeeded, completions(w.job))
		}
	})
}

func drawJob(t *rapid.T) *batchv1.Job {
	number := func(name string, low, high int) *int32 {
		n := int32(rapid.IntRange(low, high).Draw(t, name))
		return &n
	}
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "n", UID: "j"}}
	j.Spec.Parallelism, j.Spec.Completions, j.Spec.BackoffLimit = number("parallelism", 1, 4), number("completions", 1, 6), number("backoffLimit", 0, 6)
	if rapid.Bool().Draw(t, "replace when failed") {
		failed := batchv1.Failed
		j.Spec.PodReplacementPolicy = &failed
	}
	if rapid.Bool().Draw(t, "indexed") {
		indexed := batchv1.IndexedCompletion
		j.Spec.CompletionMode = &indexed
		if rapid.Bool().Draw(t, "per index") {
			j.Spec.BackoffLimitPerIndex = number("backoffLimitPerIndex", 0, 2)
			*j.Spec.BackoffLimit = 1 << 30
		}
	}
	return j
}

// chance lets something happen to the pods, the clock or the spec.
func (w *world) chance(t *rapid.T) {
	yes := rapid.Bool().Draw(t, "suspend")
	switch what := rapid.IntRange(0, 8).Draw(t, "event"); {
	case what == 0:
		w.gone()
	case what == 1:
		w.now = w.now.Add(30 * time.Second)
	case what == 2:
		w.job.Spec.Suspend = &yes
	case len(w.pods) > 0:
		p := rapid.SampledFrom(w.pods).Draw(t, "pod")
		switch {
		case podctl.Finished(p):
		case what < 5:
			w.delete(p)
		case what < 7:
			w.end(p, 0)
		default:
			w.end(p, 1)
		}
	}
}

// cut plans and applies as much of the plan as fits: 0 nothing, 1 the status, 2 half of the released pods,
// 3 all of them, else everything.
func (w *world) cut(t *rapid.T, l *ledger, at int) {
	s := snapshot{job: w.job.DeepCopy(), backoff: w.backoff, now: w.now}
	for _, p := range w.pods {
		s.pods = append(s.pods, p.DeepCopy())
	}
	p := planJob(s)
	if at == 0 {
		return
	}
	w.job.Status, w.backoff = p.status, p.backoff
	mine := func(uid types.UID) *corev1.Pod {
		return w.pods[slices.IndexFunc(w.pods, func(q *corev1.Pod) bool { return q.UID == uid })]
	}
	strip := p.strip
	switch at {
	case 1:
		return
	case 2:
		strip = strip[:len(strip)/2]
	}
	for _, q := range strip {
		m := mine(q.UID)
		if !tracked(m) {
			t.Fatalf("pod %s is released twice", m.Name)
		}
		free(m)
		l.released++
	}
	if at == 2 || at == 3 {
		return
	}
	for _, q := range p.remove {
		if p.forgive {
			free(mine(q.UID))
		}
		w.delete(mine(q.UID))
	}
	for i := 0; len(p.remove) == 0 && i < p.create; i++ {
		w.create(new(strings.Builder), p, i)
	}
}
