package job

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"hyperkube/controllers/podctl"
)

// TestScenarios runs testdata: a job, step by step, with pods that do what a scenario says. Commands:
//
//	spec               the job's spec, or fields of it that change, as YAML
//	pods ready=true    every pending pod runs
//	end p1 p2 … [code=N]   those pods succeed, or fail with an exit code
//	delete p1 …        somebody deletes pods
//	disrupt p1 …       those pods fail with the condition DisruptionTarget
//	gone               what is being deleted has ended
//	wait seconds=S
//	step [rounds=N]    plan and apply; show what was done and the status
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{now: time.Unix(1e9, 0), job: &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "n", UID: "j"}}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "spec":
				if err := yaml.Unmarshal([]byte(d.Input), &w.job.Spec); err != nil {
					d.Fatalf(t, "%v", err)
				}
			case "pods":
				for _, p := range w.pods {
					if podctl.Active(p) {
						p.Status.Phase, p.Spec.NodeName = corev1.PodRunning, "node"
						p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
					}
				}
			case "end", "delete", "disrupt":
				w.happen(t, d)
			case "gone":
				w.gone()
			case "wait":
				var n int
				d.ScanArgs(t, "seconds", &n)
				w.now = w.now.Add(time.Duration(n) * time.Second)
			case "step":
				n := 1
				d.MaybeScanArgs(t, "rounds", &n)
				var b strings.Builder
				for range n {
					w.step(&b)
				}
				w.draw(&b)
				return b.String()
			default:
				return "unknown command"
			}
			return ""
		})
	})
}

type world struct {
	now     time.Time
	job     *batchv1.Job
	pods    []*corev1.Pod
	backoff backoff
	made    int
}

func (w *world) happen(t *testing.T, d *datadriven.TestData) {
	code := 0
	d.MaybeScanArgs(t, "code", &code)
	for _, a := range d.CmdArgs {
		if a.Key == "code" {
			continue
		}
		i := slices.IndexFunc(w.pods, func(p *corev1.Pod) bool { return p.Name == a.Key })
		if i < 0 {
			d.Fatalf(t, "no pod %s", a.Key)
		}
		p := w.pods[i]
		switch d.Cmd {
		case "delete":
			w.delete(p)
			continue
		case "disrupt":
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue})
			code = 137
		}
		w.end(p, int32(code))
	}
}

func (w *world) end(p *corev1.Pod, code int32) {
	p.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		p.Status.Phase = corev1.PodFailed
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.NewTime(w.now)}}}}
}

func (w *world) delete(p *corev1.Pod) {
	if p.DeletionTimestamp == nil {
		at := metav1.NewTime(w.now)
		p.DeletionTimestamp = &at
	}
}

// gone: deleted pods end, and leave when no finalizer holds them.
func (w *world) gone() {
	for _, p := range w.pods {
		if p.DeletionTimestamp != nil && !podctl.Finished(p) {
			w.end(p, 137)
		}
	}
	w.pods = slices.DeleteFunc(w.pods, func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil && !tracked(p) })
}

func free(p *corev1.Pod) { p.Finalizers = nil }

// step plans on a copy, as the informers give one, and applies the plan as the controller does.
func (w *world) step(b *strings.Builder) {
	j, pods := w.job.DeepCopy(), make([]*corev1.Pod, len(w.pods))
	for i, p := range w.pods {
		pods[i] = p.DeepCopy()
	}
	mine := func(p *corev1.Pod) *corev1.Pod {
		return w.pods[slices.IndexFunc(w.pods, func(q *corev1.Pod) bool { return q.UID == p.UID })]
	}
	p := planJob(snapshot{job: j, pods: pods, backoff: w.backoff, now: w.now})
	w.job.Status, w.backoff = p.status, p.backoff
	for _, e := range p.events {
		fmt.Fprintf(b, "%s event %s: %s\n", e.kind, e.reason, e.message)
	}
	for _, q := range p.strip {
		fmt.Fprintf(b, "release %s\n", q.Name)
		free(mine(q))
	}
	for _, q := range p.remove {
		fmt.Fprintf(b, "remove %s\n", q.Name)
		if p.forgive {
			free(mine(q))
		}
		w.delete(mine(q))
	}
	for i := 0; len(p.remove) == 0 && i < p.create; i++ {
		w.create(b, p, i)
	}
	if p.after > 0 {
		fmt.Fprintf(b, "again after %s\n", p.after)
	}
}

func (w *world) create(b *strings.Builder, p plan, i int) {
	w.made++
	q := podctl.FromTemplate(&w.job.Spec.Template, w.job, gvk)
	q.Finalizers = append(q.Finalizers, batchv1.JobTrackingFinalizer)
	q.Name = fmt.Sprint("p", w.made)
	q.UID, q.CreationTimestamp, q.Status.Phase = types.UID(q.Name), metav1.NewTime(w.now), corev1.PodPending
	fmt.Fprintf(b, "create %s", q.Name)
	if p.indexes != nil {
		giveIndex(q, w.job, p.indexes[i])
		fmt.Fprintf(b, " index %d", p.indexes[i])
		if p.retries != nil {
			giveRetry(q, p.retries[p.indexes[i]])
			r := inherited(q)
			fmt.Fprintf(b, " after %d failures and %d ignored", r.counted, r.ignored)
		}
	}
	fmt.Fprintln(b)
	w.pods = append(w.pods, q)
}

func (w *world) draw(b *strings.Builder) {
	st := w.job.Status
	fmt.Fprintf(b, "active %d ready %d terminating %d succeeded %d failed %d", st.Active, *st.Ready, *st.Terminating, st.Succeeded, st.Failed)
	if st.CompletedIndexes != "" {
		fmt.Fprintf(b, " completed %s", st.CompletedIndexes)
	}
	if st.FailedIndexes != nil && *st.FailedIndexes != "" {
		fmt.Fprintf(b, " failed indexes %s", *st.FailedIndexes)
	}
	if st.StartTime == nil {
		fmt.Fprint(b, " not started")
	}
	if st.CompletionTime != nil {
		fmt.Fprintf(b, " took %s", st.CompletionTime.Sub(st.StartTime.Time))
	}
	fmt.Fprintln(b)
	for _, c := range st.Conditions {
		fmt.Fprintf(b, "%s %s: %s (%s)\n", c.Type, c.Status, c.Reason, c.Message)
	}
}
