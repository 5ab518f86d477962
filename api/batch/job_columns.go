package batch

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"hyperkube/api/table"
)

// JobColumns are what kubectl prints.
func JobColumns() []metav1.TableColumnDefinition {
	return table.Columns([]metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Status", "Status of the job."),
		table.Text("Completions", batchv1.JobStatus{}.SwaggerDoc()["succeeded"]),
		table.Text("Duration", "Time required to complete the job."),
		table.AgeColumn(),
	}, table.Workload()...)
}

// JobRow fills JobColumns.
func JobRow(j *batchv1.Job, now time.Time) []any {
	return append([]any{
		j.Name, jobStatus(j), jobCompletions(j), jobDuration(j, now), table.Age(j.CreationTimestamp, now),
	}, table.WorkloadCells(&j.Spec.Template.Spec, j.Spec.Selector)...)
}

func jobStatus(j *batchv1.Job) string {
	switch {
	case has(&j.Status, batchv1.JobComplete):
		return "Complete"
	case has(&j.Status, batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case has(&j.Status, batchv1.JobSuspended):
		return "Suspended"
	case has(&j.Status, batchv1.JobFailureTarget):
		return "FailureTarget"
	case has(&j.Status, batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func jobCompletions(j *batchv1.Job) string {
	if j.Spec.Completions != nil {
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	}
	if j.Spec.Parallelism != nil && *j.Spec.Parallelism > 1 {
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, *j.Spec.Parallelism)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobDuration(j *batchv1.Job, now time.Time) string {
	switch {
	case j.Status.StartTime == nil:
		return ""
	case j.Status.CompletionTime != nil:
		now = j.Status.CompletionTime.Time
	case has(&j.Status, batchv1.JobFailed):
		for _, c := range j.Status.Conditions {
			if c.Type == batchv1.JobFailed {
				now = c.LastTransitionTime.Time
			}
		}
	}
	return duration.HumanDuration(now.Sub(j.Status.StartTime.Time))
}
