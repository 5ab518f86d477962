package batch

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
	"hyperkube/internal/cron"
)

// DefaultCronJob fills in the documented defaults.
func DefaultCronJob(c *batchv1.CronJob) {
	s := &c.Spec
	if s.ConcurrencyPolicy == "" {
		s.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	orDefault(&s.Suspend, false)
	orDefault(&s.SuccessfulJobsHistoryLimit, 3)
	orDefault(&s.FailedJobsHistoryLimit, 1)
	if len(s.JobTemplate.Labels) == 0 {
		s.JobTemplate.Labels = copyLabels(s.JobTemplate.Spec.Template.Labels)
	}
	defaultJobSpec(&s.JobTemplate.Spec)
}

// maxCronJobName leaves room for the suffix of its Jobs (63 - 11).
const maxCronJobName = 52

// ValidateCronJob checks a CronJob to be created.
func ValidateCronJob(c *batchv1.CronJob) field.ErrorList {
	errs := validateCronJobSpec(&c.Spec, nil)
	if len(c.Name) > maxCronJobName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, fmt.Sprintf("must be no more than %d characters", maxCronJobName)))
	}
	return errs
}

// ValidateCronJobUpdate checks a change.
func ValidateCronJobUpdate(c, old *batchv1.CronJob) field.ErrorList {
	return validateCronJobSpec(&c.Spec, &old.Spec)
}

func validateCronJobSpec(s, old *batchv1.CronJobSpec) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateSchedule(s, old, spec.Child("schedule"))
	errs = append(errs, rules.MaybeNotNegative(s.StartingDeadlineSeconds, spec.Child("startingDeadlineSeconds"))...)
	errs = append(errs, rules.OneOf(s.ConcurrencyPolicy, spec.Child("concurrencyPolicy"), batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	if s.TimeZone != nil && (old == nil || old.TimeZone == nil || *old.TimeZone != *s.TimeZone) {
		errs = append(errs, validateTimeZone(*s.TimeZone, spec.Child("timeZone"))...)
	}
	errs = append(errs, rules.MaybeNotNegative(s.SuccessfulJobsHistoryLimit, spec.Child("successfulJobsHistoryLimit"))...)
	errs = append(errs, rules.MaybeNotNegative(s.FailedJobsHistoryLimit, spec.Child("failedJobsHistoryLimit"))...)
	at := spec.Child("jobTemplate", "spec")
	errs = append(errs, validateJobSpec(&s.JobTemplate.Spec, at)...)
	if s.JobTemplate.Spec.ManualSelector != nil && *s.JobTemplate.Spec.ManualSelector {
		errs = append(errs, field.NotSupported(at.Child("manualSelector"), true, []string{"nil", "false"}))
	}
	return errs
}

func validateSchedule(s, old *batchv1.CronJobSpec, path *field.Path) field.ErrorList {
	if s.Schedule == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	if _, err := cron.Parse(s.Schedule); err != nil {
		errs = append(errs, field.Invalid(path, s.Schedule, err.Error()))
	}
	if strings.Contains(s.Schedule, "TZ") && (old == nil || old.Schedule != s.Schedule) {
		errs = append(errs, field.Invalid(path, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	}
	return errs
}

func validateTimeZone(zone string, path *field.Path) field.ErrorList {
	switch {
	case zone == "":
		return field.ErrorList{field.Invalid(path, zone, "timeZone must be nil or non-empty string")}
	case strings.EqualFold(zone, "Local"):
		return field.ErrorList{field.Invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")}
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return field.ErrorList{field.Invalid(path, zone, err.Error())}
	}
	return nil
}

// CronJobColumns are what kubectl prints.
func CronJobColumns() []metav1.TableColumnDefinition {
	spec, status := batchv1.CronJobSpec{}.SwaggerDoc(), batchv1.CronJobStatus{}.SwaggerDoc()
	return table.Columns([]metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Schedule", spec["schedule"]),
		table.Text("Timezone", spec["timeZone"]),
		table.Boolean("Suspend", spec["suspend"]),
		table.Integer("Active", status["active"]),
		table.Text("Last Schedule", status["lastScheduleTime"]),
		table.AgeColumn(),
	}, table.Workload()...)
}

// CronJobRow fills CronJobColumns.
func CronJobRow(c *batchv1.CronJob, now time.Time) []any {
	last, zone, suspended := table.None, table.None, "False"
	if c.Status.LastScheduleTime != nil {
		last = table.Age(*c.Status.LastScheduleTime, now)
	}
	if c.Spec.TimeZone != nil {
		zone = *c.Spec.TimeZone
	}
	if c.Spec.Suspend != nil && *c.Spec.Suspend {
		suspended = "True"
	}
	return append([]any{
		c.Name, c.Spec.Schedule, zone, suspended, int64(len(c.Status.Active)), last, table.Age(c.CreationTimestamp, now),
	}, table.WorkloadCells(&c.Spec.JobTemplate.Spec.Template.Spec, c.Spec.JobTemplate.Spec.Selector)...)
}
