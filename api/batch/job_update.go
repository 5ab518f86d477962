package batch

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// ValidateJobUpdate refuses changes of what makes the Job itself. The pod
// template's scheduling directives may change while it is suspended and has
// started no pod.
func ValidateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateJobSpec(&j.Spec, spec)
	s, o := &j.Spec, &old.Spec
	errs = append(errs, validateCompletionsChange(s, o, spec.Child("completions"))...)
	errs = append(errs, rules.Same(s.Selector, o.Selector, spec.Child("selector"))...)
	errs = append(errs, validateJobTemplateChange(j, old, spec.Child("template"))...)
	errs = append(errs, rules.Same(s.CompletionMode, o.CompletionMode, spec.Child("completionMode"))...)
	errs = append(errs, rules.Same(s.PodFailurePolicy, o.PodFailurePolicy, spec.Child("podFailurePolicy"))...)
	errs = append(errs, rules.Same(s.BackoffLimitPerIndex, o.BackoffLimitPerIndex, spec.Child("backoffLimitPerIndex"))...)
	errs = append(errs, rules.Same(s.ManagedBy, o.ManagedBy, spec.Child("managedBy"))...)
	return append(errs, rules.Same(s.SuccessPolicy, o.SuccessPolicy, spec.Child("successPolicy"))...)
}

// validateCompletionsChange lets indexed Jobs grow and shrink in step with parallelism.
func validateCompletionsChange(s, old *batchv1.JobSpec, path *field.Path) field.ErrorList {
	same := rules.Same(s.Completions, old.Completions, path)
	if len(same) == 0 || !indexed(s) || s.Completions == nil || s.Parallelism == nil || old.Completions == nil || old.Parallelism == nil {
		return same
	}
	if *s.Completions != *s.Parallelism {
		return field.ErrorList{field.Invalid(path, *s.Completions, "can only be modified in tandem with parallelism such that completions == parallelism")}
	}
	return nil
}

func validateJobTemplateChange(j, old *batchv1.Job, path *field.Path) field.ErrorList {
	want := &old.Spec.Template
	if old.Spec.Suspend != nil && *old.Spec.Suspend && old.Status.StartTime == nil {
		want = withDirectives(want, &j.Spec.Template)
	}
	return rules.Same(j.Spec.Template, *want, path)
}

// withDirectives is old with the scheduling directives of now.
func withDirectives(old, now *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	t := old.DeepCopy()
	t.Annotations, t.Labels = now.Annotations, now.Labels
	t.Spec.NodeSelector, t.Spec.Tolerations, t.Spec.SchedulingGates = now.Spec.NodeSelector, now.Spec.Tolerations, now.Spec.SchedulingGates
	switch {
	case now.Spec.Affinity == nil || now.Spec.Affinity.NodeAffinity == nil:
		if t.Spec.Affinity != nil {
			t.Spec.Affinity.NodeAffinity = nil
			if now.Spec.Affinity == nil && t.Spec.Affinity.PodAffinity == nil && t.Spec.Affinity.PodAntiAffinity == nil {
				t.Spec.Affinity = nil
			}
		}
	default:
		if t.Spec.Affinity == nil {
			t.Spec.Affinity = &corev1.Affinity{}
		}
		t.Spec.Affinity.NodeAffinity = now.Spec.Affinity.NodeAffinity
	}
	for i := range t.Spec.Containers {
		if i < len(now.Spec.Containers) && now.Spec.Containers[i].Name == t.Spec.Containers[i].Name {
			t.Spec.Containers[i].Resources = now.Spec.Containers[i].Resources
		}
	}
	return t
}

// ValidateJobStatus checks what the job controller reports.
func ValidateJobStatus(j, old *batchv1.Job) field.ErrorList {
	path, s := field.NewPath("status"), &j.Status
	errs := rules.NotNegative(s.Active, path.Child("active"))
	errs = append(errs, rules.NotNegative(s.Succeeded, path.Child("succeeded"))...)
	errs = append(errs, rules.NotNegative(s.Failed, path.Child("failed"))...)
	errs = append(errs, rules.MaybeNotNegative(s.Ready, path.Child("ready"))...)
	errs = append(errs, rules.MaybeNotNegative(s.Terminating, path.Child("terminating"))...)
	return append(errs, validateJobEnd(s, &old.Status, path)...)
}

// validateJobEnd: a job ends once, one way, with nothing running, and stays as it ended.
func validateJobEnd(s, old *batchv1.JobStatus, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	conditions := path.Child("conditions")
	complete, failed := has(s, batchv1.JobComplete), has(s, batchv1.JobFailed)
	for _, other := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobFailureTarget} {
		if complete && has(s, other) {
			errs = append(errs, field.Invalid(conditions, field.OmitValueType{}, fmt.Sprintf("cannot set Complete=True and %s=True conditions", other)))
		}
	}
	for _, t := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobFailureTarget} {
		if has(old, t) && !has(s, t) {
			errs = append(errs, field.Invalid(conditions, field.OmitValueType{}, fmt.Sprintf("cannot disable the terminal %s=True condition", t)))
		}
	}
	at, ended := path.Child("completionTime"), complete && !has(old, batchv1.JobComplete)
	switch {
	case s.CompletionTime != nil && !complete:
		errs = append(errs, field.Invalid(at, s.CompletionTime, "cannot set completionTime when there is no Complete=True condition"))
	case s.CompletionTime == nil && ended:
		errs = append(errs, field.Required(at, "completionTime is required for Complete jobs"))
	case complete && old.CompletionTime != nil && !old.CompletionTime.Equal(s.CompletionTime):
		errs = append(errs, field.Invalid(at, s.CompletionTime, "field is immutable"))
	}
	if s.Active > 0 && (ended || failed && !has(old, batchv1.JobFailed)) {
		errs = append(errs, field.Invalid(path.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	return errs
}

func has(s *batchv1.JobStatus, t batchv1.JobConditionType) bool {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t && s.Conditions[i].Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
