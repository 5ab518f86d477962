// Package batch is the behaviour of the kinds of batch/v1: defaults, derived
// fields, validation and columns. Pure functions on the published types.
package batch

import (
	"math"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/api/core"
)

// DefaultJob fills in the documented defaults.
func DefaultJob(j *batchv1.Job) {
	if len(j.Labels) == 0 {
		j.Labels = copyLabels(j.Spec.Template.Labels)
	}
	defaultJobSpec(&j.Spec)
}

func defaultJobSpec(s *batchv1.JobSpec) {
	if s.Completions == nil && s.Parallelism == nil {
		orDefault(&s.Completions, 1)
	}
	orDefault(&s.Parallelism, 1)
	if s.BackoffLimitPerIndex != nil {
		orDefault(&s.BackoffLimit, math.MaxInt32)
	}
	orDefault(&s.BackoffLimit, 6)
	orDefault(&s.CompletionMode, batchv1.NonIndexedCompletion)
	orDefault(&s.Suspend, false)
	orDefault(&s.ManualSelector, false)
	if s.PodFailurePolicy != nil {
		orDefault(&s.PodReplacementPolicy, batchv1.Failed)
		for i := range s.PodFailurePolicy.Rules {
			defaultPodConditions(s.PodFailurePolicy.Rules[i].OnPodConditions)
		}
	}
	orDefault(&s.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	core.DefaultPodTemplate(&s.Template)
}

func defaultPodConditions(patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) {
	for i := range patterns {
		if patterns[i].Status == "" {
			patterns[i].Status = corev1.ConditionTrue
		}
	}
}

// PrepareJob sets what the server derives for a new Job: generated selector and
// the labels that tie pods to the Job. The Job must have its uid already.
func PrepareJob(j *batchv1.Job) {
	j.Status = batchv1.JobStatus{}
	j.Spec.Scheduling = nil // gated off
	core.DropGatedTemplate(&j.Spec.Template, nil)
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector {
		return
	}
	labels := copyLabels(j.Spec.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	// The unprefixed names are what Jobs had before 1.27; users still select by them.
	for name, value := range map[string]string{
		"controller-uid": string(j.UID), batchv1.ControllerUidLabel: string(j.UID),
		"job-name": j.Name, batchv1.JobNameLabel: j.Name,
	} {
		if name == "controller-uid" || name == "job-name" || labels[name] == "" {
			labels[name] = value
		}
	}
	j.Spec.Template.Labels = labels
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	if _, set := j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !set {
		j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = string(j.UID)
	}
}

func copyLabels(from map[string]string) map[string]string {
	if len(from) == 0 {
		return nil
	}
	to := make(map[string]string, len(from)+4)
	for k, v := range from {
		to[k] = v
	}
	return to
}

func orDefault[V any](p **V, v V) {
	if *p == nil {
		*p = &v
	}
}
