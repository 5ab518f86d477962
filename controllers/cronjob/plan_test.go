package cronjob

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
)

// TestScenarios runs testdata: a cron job in time, made at 2026-01-01 00:00:00 UTC. Commands:
//
//	spec            its spec, or fields of it that change, as YAML
//	until time=HH:MM:SS [day=N]   the clock moves
//	end job=J [failed=true]       a job ends
//	plan            plan and apply; show what was done
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		w := &world{now: start, cron: &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "c", CreationTimestamp: metav1.NewTime(start)}}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "spec":
				if err := yaml.Unmarshal([]byte(d.Input), &w.cron.Spec); err != nil {
					d.Fatalf(t, "%v", err)
				}
				return ""
			case "until":
				var text string
				day := 1
				d.ScanArgs(t, "time", &text)
				d.MaybeScanArgs(t, "day", &day)
				at, err := time.Parse(time.TimeOnly, text)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				w.now = time.Date(2026, 1, day, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
				return ""
			case "end":
				w.end(t, d)
				return ""
			case "plan":
				return w.plan()
			}
			return "unknown command"
		})
	})
}

type world struct {
	now  time.Time
	cron *batchv1.CronJob
	jobs []*batchv1.Job
}

func (w *world) end(t *testing.T, d *datadriven.TestData) {
	name, failed := "", false
	d.ScanArgs(t, "job", &name)
	d.MaybeScanArgs(t, "failed", &failed)
	i := slices.IndexFunc(w.jobs, func(j *batchv1.Job) bool { return j.Name == name })
	if i < 0 {
		d.Fatalf(t, "no job %s", name)
	}
	j, how := w.jobs[i], batchv1.JobComplete
	if failed {
		how = batchv1.JobFailed
	} else {
		at := metav1.NewTime(w.now)
		j.Status.CompletionTime = &at
	}
	j.Status.Conditions = []batchv1.JobCondition{{Type: how, Status: corev1.ConditionTrue}}
}

func (w *world) plan() string {
	var b strings.Builder
	p := planNext(snapshot{cron: w.cron.DeepCopy(), jobs: slices.Clone(w.jobs), now: w.now})
	for _, e := range p.events {
		fmt.Fprintf(&b, "%s %s: %s\n", e.kind, e.reason, e.message)
	}
	for _, j := range slices.Concat(p.remove, p.stop) {
		fmt.Fprintf(&b, "remove %s\n", j.Name)
		w.jobs = slices.DeleteFunc(w.jobs, func(x *batchv1.Job) bool { return x.Name == j.Name })
	}
	if j := p.create; j != nil {
		j.UID, j.CreationTimestamp = types.UID(j.Name), metav1.NewTime(w.now)
		fmt.Fprintf(&b, "create %s for %s\n", j.Name, j.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
		w.jobs = append(w.jobs, j)
		p.status.Active = append(p.status.Active, reference(j))
	}
	w.cron.Status = p.status
	var active []string
	for _, a := range p.status.Active {
		active = append(active, a.Name)
	}
	fmt.Fprintf(&b, "active %v", active)
	show := func(what string, t *metav1.Time) {
		if t != nil {
			fmt.Fprintf(&b, " %s %s", what, t.Format(time.TimeOnly))
		}
	}
	show("scheduled", p.status.LastScheduleTime)
	show("successful", p.status.LastSuccessfulTime)
	if p.after > 0 {
		fmt.Fprintf(&b, " again after %s", p.after)
	}
	return b.String() + "\n"
}
