package job

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"hyperkube/controllers/stage"
	"hyperkube/internal/bounds"
)

// TestNumbersAreNotSizes: a plan grows with the pods there are and the batch, not with a number in a spec.
func TestNumbersAreNotSizes(t *testing.T) {
	stage.Bounded(t, func() {
		rapid.Check(t, func(t *rapid.T) {
			number := rapid.OneOf(rapid.Int32Range(0, 5), rapid.SampledFrom([]int32{math.MaxInt32, math.MaxInt32 - 1, 1 << 20}))
			optional := func(name string) *int32 {
				if rapid.Bool().Draw(t, name+"?") {
					n := number.Draw(t, name)
					return &n
				}
				return nil
			}
			j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j"}}
			j.Spec.Parallelism, j.Spec.Completions, j.Spec.BackoffLimit = optional("parallelism"), optional("completions"), optional("backoffLimit")
			if j.Spec.Completions != nil && rapid.Bool().Draw(t, "indexed") {
				mode := batchv1.IndexedCompletion
				j.Spec.CompletionMode, j.Spec.BackoffLimitPerIndex, j.Spec.MaxFailedIndexes = &mode, optional("perIndex"), optional("maxFailed")
				j.Status.CompletedIndexes = rapid.SampledFrom([]string{"", "0-2147483645", "1,3,5-1000000"}).Draw(t, "completed")
			}
			deadline := int64(math.MaxInt64)
			j.Spec.ActiveDeadlineSeconds = &deadline
			s := snapshot{job: j, now: time.Unix(1e9, 0)}
			for i := range rapid.IntRange(0, 8).Draw(t, "pods") {
				p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i), UID: types.UID(fmt.Sprint(i)), Finalizers: []string{batchv1.JobTrackingFinalizer}}}
				p.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: fmt.Sprint(rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(0, 1<<31)).Draw(t, "index"))}
				p.Status.Phase = rapid.SampledFrom([]corev1.PodPhase{corev1.PodRunning, corev1.PodPending, corev1.PodFailed, corev1.PodSucceeded}).Draw(t, "phase")
				s.pods = append(s.pods, p)
			}
			p := planJob(s)
			if p.create > bounds.Batch || len(p.indexes) > bounds.Batch || len(p.indexes) > 0 && p.create != len(p.indexes) {
				t.Fatalf("%d to create, %d indexes", p.create, len(p.indexes))
			}
			if c := condition(p.status, batchv1.JobFailureTarget); c != nil && c.Reason == batchv1.JobReasonDeadlineExceeded {
				t.Fatal("a deadline that no duration holds is over")
			}
		})
	})
}

// TestManyEndAtOnce: the status lists a batch of them; the others count already, so that nothing is made in
// their place, and the job does not end before all are put down.
func TestManyEndAtOnce(t *testing.T) {
	const n = 3 * bounds.Batch
	all := int32(n)
	w := &world{now: time.Unix(1e9, 0), job: &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "n", UID: "j"}}}
	w.job.Spec.Completions, w.job.Spec.Parallelism = &all, &all
	var b strings.Builder
	for range 3 {
		w.step(&b)
	}
	if len(w.pods) != n {
		t.Fatalf("%d pods after three batches, want %d", len(w.pods), n)
	}
	for _, p := range w.pods {
		w.end(p, 0)
	}
	for range 10 {
		w.step(&b)
		if u := w.job.Status.UncountedTerminatedPods; u != nil && len(u.Succeeded) > bounds.Batch {
			t.Fatalf("the status lists %d pods", len(u.Succeeded))
		}
		if len(w.pods) != n {
			t.Fatalf("%d pods were made in place of those that have not been put down yet", len(w.pods)-n)
		}
		if finished(w.job) && w.job.Status.Succeeded != n {
			t.Fatalf("complete with %d of %d", w.job.Status.Succeeded, n)
		}
	}
	if !finished(w.job) {
		t.Errorf("not complete: %+v", w.job.Status)
	}
}

// TestManyPodsAreLookedAtOnce: the cost of a look grows with the pods, not with their square.
func TestManyPodsAreLookedAtOnce(t *testing.T) {
	mode, all, none := batchv1.IndexedCompletion, int32(50_000), int32(0)
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j"}}
	j.Spec.CompletionMode, j.Spec.Completions, j.Spec.Parallelism = &mode, &all, &none
	s := snapshot{job: j, now: time.Unix(1e9, 0)}
	for i := range int(all) {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(i)), Finalizers: []string{batchv1.JobTrackingFinalizer},
			Annotations: map[string]string{batchv1.JobCompletionIndexAnnotation: fmt.Sprint(i)}}}
		if i%2 == 0 {
			p.Status.Phase = corev1.PodSucceeded
		}
		s.pods = append(s.pods, p)
	}
	began := time.Now()
	p := planJob(s)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("takes %s", d)
	}
	if len(p.remove) != bounds.Batch {
		t.Errorf("removes %d, want %d", len(p.remove), bounds.Batch)
	}
}
