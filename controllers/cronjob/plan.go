package cronjob

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/podctl"
	"hyperkube/internal/cron"
)

const tooMany = 100 // missed times that are worth a warning

// snapshot is all that a plan depends on.
type snapshot struct {
	cron *batchv1.CronJob
	jobs []*batchv1.Job // controlled by it
	now  time.Time
}

// plan is what to do: remove jobs, start one, write the status.
type plan struct {
	remove []*batchv1.Job // beyond the history limits
	stop   []*batchv1.Job // replaced
	create *batchv1.Job
	status batchv1.CronJobStatus
	after  time.Duration
	events []event
}

type event struct{ kind, reason, message string }

func (p *plan) tell(kind, reason, format string, args ...any) {
	p.events = append(p.events, event{kind, reason, fmt.Sprintf(format, args...)})
}

// planNext decides what is due.
func planNext(s snapshot) plan {
	c := s.cron
	p := plan{status: *c.Status.DeepCopy()}
	p.follow(s)
	p.prune(s)
	if c.DeletionTimestamp != nil || c.Spec.Suspend != nil && *c.Spec.Suspend {
		return p
	}
	schedule, err := parse(c)
	if err != nil {
		p.tell(corev1.EventTypeWarning, "UnparseableSchedule", "unparseable schedule: %q : %s", c.Spec.Schedule, err)
		return p
	}
	due, missed := mostRecent(schedule, earliest(c, s.now), s.now)
	if next := schedule.Next(s.now); !next.IsZero() {
		p.after = next.Sub(s.now) + 100*time.Millisecond
	}
	if missed > tooMany {
		p.tell(corev1.EventTypeWarning, "TooManyMissedTimes",
			"too many missed start times: %d. Set or decrease .spec.startingDeadlineSeconds or check clock skew", missed)
	}
	if !due.IsZero() {
		p.start(s, due)
	}
	return p
}

func parse(c *batchv1.CronJob) (cron.Schedule, error) {
	if z := c.Spec.TimeZone; z != nil && *z != "" {
		return cron.Parse("TZ=" + *z + " " + c.Spec.Schedule)
	}
	return cron.Parse(c.Spec.Schedule)
}

// earliest is the time after which a start may be due.
func earliest(c *batchv1.CronJob, now time.Time) time.Time {
	t := c.CreationTimestamp.Time
	if c.Status.LastScheduleTime != nil {
		t = c.Status.LastScheduleTime.Time
	}
	if d := c.Spec.StartingDeadlineSeconds; d != nil {
		if bound := now.Add(-podctl.Seconds(*d)); bound.After(t) {
			t = bound
		}
	}
	return t
}

// mostRecent finds the last scheduled time in (since, now], zero when there is none, and how many there are,
// counted only as far as tooMany. It looks back in steps that double, so a long sleep costs little; the
// furthest is everything since.
func mostRecent(s cron.Schedule, since, now time.Time) (last time.Time, missed int) {
	for t := s.Next(since); !t.IsZero() && !t.After(now) && missed <= tooMany; t = s.Next(t) {
		last = t
		missed++
	}
	if missed <= tooMany {
		return last, missed
	}
	for back := time.Minute; ; back *= 2 {
		from := now.Add(-back)
		if back <= 0 || from.Before(since) { // the time of a status may be before what a duration holds
			return latest(s, since, now), missed
		}
		t := s.Next(from)
		if t.IsZero() || t.After(now) {
			continue
		}
		return latest(s, from, now), missed
	}
}

// latest is the last scheduled time in (from, now], found by halving: there may be many.
func latest(s cron.Schedule, from, now time.Time) (last time.Time) {
	for {
		t := s.Next(from)
		if t.IsZero() || t.After(now) {
			return last
		}
		last, from = t, t
		for span := now.Sub(from) / 2; span >= time.Second; span /= 2 {
			if t := s.Next(from.Add(span)); !t.IsZero() && !t.After(now) {
				last, from = t, t
				span = now.Sub(from)
			}
		}
	}
}

// start begins the run that was due at a time, unless policy forbids it.
func (p *plan) start(s snapshot, due time.Time) {
	c := s.cron
	name := c.Name + "-" + strconv.FormatInt(due.Unix()/60, 10)
	for _, j := range s.jobs {
		if j.Name == name {
			return
		}
	}
	if l := c.Status.LastScheduleTime; l != nil && l.Time.Equal(due) {
		return
	}
	if len(p.status.Active) > 0 {
		switch c.Spec.ConcurrencyPolicy {
		case batchv1.ForbidConcurrent:
			p.tell(corev1.EventTypeNormal, "JobAlreadyActive",
				"Not starting job because prior execution is running and concurrency policy is Forbid")
			return
		case batchv1.ReplaceConcurrent:
			for _, j := range s.jobs {
				if ended(j) == "" {
					p.stop = append(p.stop, j)
				}
			}
			p.status.Active = nil
		}
	}
	p.create = fromTemplate(c, name, due)
	at := metav1.NewTime(due)
	p.status.LastScheduleTime = &at
}

func fromTemplate(c *batchv1.CronJob, name string, due time.Time) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: c.Namespace,
		Labels:          maps.Clone(c.Spec.JobTemplate.Labels),
		Annotations:     maps.Clone(c.Spec.JobTemplate.Annotations),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, gvk)},
	}}
	if z := c.Spec.TimeZone; z != nil {
		if l, err := time.LoadLocation(*z); err == nil {
			due = due.In(l)
		}
	}
	metav1.SetMetaDataAnnotation(&j.ObjectMeta, batchv1.CronJobScheduledTimestampAnnotation, due.Format(time.RFC3339))
	c.Spec.JobTemplate.Spec.DeepCopyInto(&j.Spec)
	return j
}

// ended is how a job ended, "" while it runs.
func ended(j *batchv1.Job) batchv1.JobConditionType {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}

// follow brings the list of active jobs up to date.
func (p *plan) follow(s snapshot) {
	active := []corev1.ObjectReference{}
	known := map[string]bool{}
	for _, ref := range p.status.Active {
		known[string(ref.UID)] = true
	}
	slices.SortFunc(s.jobs, func(a, b *batchv1.Job) int { return cmp.Compare(a.Name, b.Name) })
	for _, j := range s.jobs {
		how := ended(j)
		if how == "" {
			active = append(active, reference(j))
			continue
		}
		if known[string(j.UID)] {
			p.tell(corev1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %v", j.Name, how)
		}
		if t := j.Status.CompletionTime; how == batchv1.JobComplete && t != nil &&
			(p.status.LastSuccessfulTime == nil || t.After(p.status.LastSuccessfulTime.Time)) {
			p.status.LastSuccessfulTime = t
		}
	}
	p.status.Active = active
	if len(active) == 0 {
		p.status.Active = nil
	}
}

func reference(j *batchv1.Job) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: "batch/v1", Kind: "Job", Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion,
	}
}

// prune picks the oldest finished jobs beyond the limits.
func (p *plan) prune(s snapshot) {
	keep := func(limit *int32, how batchv1.JobConditionType) {
		if limit == nil {
			return
		}
		var done []*batchv1.Job
		for _, j := range s.jobs {
			if ended(j) == how {
				done = append(done, j)
			}
		}
		slices.SortFunc(done, func(a, b *batchv1.Job) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		if n := len(done) - int(*limit); n > 0 {
			p.remove = append(p.remove, done[:n]...)
		}
	}
	keep(s.cron.Spec.SuccessfulJobsHistoryLimit, batchv1.JobComplete)
	keep(s.cron.Spec.FailedJobsHistoryLimit, batchv1.JobFailed)
}
