package batch

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/core"
	"hyperkube/api/rules"
)

const (
	maxIndexedCompletions = 10_000_000 // parallelism is held to maxIndexedParallelism
	maxIndexedParallelism = 100_000
	maxFailurePolicyRules = 20
	maxFailureExitCodes   = 255
	maxFailureConditions  = 20
	maxManagedByLength    = 63
	maxSuccessPolicyRules = 20

	// Above manyCompletions a Job with a limit for each index must bound its failures and its parallelism.
	manyCompletions       = 100_000
	maxFailedIndexes      = 100_000
	maxFailedOfMany       = 10_000
	maxParallelismForMany = 10_000
)

// ValidateJob checks a Job to be created, after PrepareJob.
func ValidateJob(j *batchv1.Job) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateJobSpec(&j.Spec, spec)
	errs = append(errs, validateJobSelector(j, spec)...)
	if indexed(&j.Spec) && j.Spec.Completions != nil && *j.Spec.Completions > 0 {
		// Pods of an indexed Job carry "<job>-<index>" as their host name.
		if msgs := validation.IsDNS1123Label(fmt.Sprintf("%s-%d", j.Name, *j.Spec.Completions-1)); len(msgs) > 0 && j.Name != "" {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+fmt.Sprintf("%s-%d", j.Name, *j.Spec.Completions-1)))
		}
	}
	return errs
}

func validateJobSelector(j *batchv1.Job, spec *field.Path) field.ErrorList {
	s := &j.Spec
	if s.Selector == nil {
		return field.ErrorList{field.Required(spec.Child("selector"), "")}
	}
	errs := metavalidation.ValidateLabelSelector(s.Selector, metavalidation.LabelSelectorValidationOptions{}, spec.Child("selector"))
	at := spec.Child("template", "metadata", "labels")
	if s.ManualSelector == nil || !*s.ManualSelector {
		for _, want := range [][2]string{{batchv1.ControllerUidLabel, string(j.UID)}, {batchv1.JobNameLabel, j.Name}} {
			switch got, ok := s.Template.Labels[want[0]]; {
			case !ok:
				errs = append(errs, field.Required(at, fmt.Sprintf("must be '%s'", want[1])))
			case got != want[1]:
				errs = append(errs, field.Invalid(at, s.Template.Labels, fmt.Sprintf("must be '%s'", want[1])))
			}
		}
	}
	if sel, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !sel.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(at, s.Template.Labels, "`selector` does not match template `labels`"))
	}
	return errs
}

func indexed(s *batchv1.JobSpec) bool {
	return s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion
}

// validateJobSpec checks what a Job and a CronJob's template have in common.
func validateJobSpec(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := rules.MaybeNotNegative(s.Parallelism, path.Child("parallelism"))
	errs = append(errs, rules.MaybeNotNegative(s.Completions, path.Child("completions"))...)
	errs = append(errs, rules.MaybeNotNegative(s.ActiveDeadlineSeconds, path.Child("activeDeadlineSeconds"))...)
	errs = append(errs, rules.MaybeNotNegative(s.BackoffLimit, path.Child("backoffLimit"))...)
	errs = append(errs, rules.MaybeNotNegative(s.TTLSecondsAfterFinished, path.Child("ttlSecondsAfterFinished"))...)
	errs = append(errs, rules.MaybeNotNegative(s.BackoffLimitPerIndex, path.Child("backoffLimitPerIndex"))...)
	errs = append(errs, rules.MaybeNotNegative(s.MaxFailedIndexes, path.Child("maxFailedIndexes"))...)
	errs = append(errs, validateJobMode(s, path)...)
	if s.ManagedBy != nil {
		at := path.Child("managedBy")
		errs = append(errs, validation.IsDomainPrefixedPath(at, *s.ManagedBy)...)
		if len(*s.ManagedBy) > maxManagedByLength {
			errs = append(errs, field.TooLong(at, "", maxManagedByLength))
		}
	}
	errs = append(errs, validateReplacement(s, path)...)
	errs = append(errs, validateFailurePolicy(s, path.Child("podFailurePolicy"))...)
	errs = append(errs, validateSuccessPolicy(s, path.Child("successPolicy"))...)
	errs = append(errs, core.ValidatePodTemplate(&s.Template, path.Child("template"))...)
	return append(errs, validateJobRestart(s, path.Child("template", "spec", "restartPolicy"))...)
}

func validateJobRestart(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	switch p := s.Template.Spec.RestartPolicy; {
	case p == "" || p == corev1.RestartPolicyAlways:
		return field.ErrorList{field.Required(at, fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever))}
	case p != corev1.RestartPolicyOnFailure && p != corev1.RestartPolicyNever:
		return field.ErrorList{field.NotSupported(at, p, []corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever})}
	case s.PodFailurePolicy != nil && p != corev1.RestartPolicyNever:
		return field.ErrorList{field.Invalid(at, p, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever))}
	case s.BackoffLimitPerIndex != nil && p != corev1.RestartPolicyNever:
		return field.ErrorList{field.Invalid(at, p, fmt.Sprintf("only %q is supported when backoffLimitPerIndex is specified", corev1.RestartPolicyNever))}
	}
	return nil
}

func validateJobMode(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.CompletionMode != nil {
		errs = rules.OneOf(*s.CompletionMode, path.Child("completionMode"), batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)
	}
	if indexed(s) {
		if s.Completions == nil {
			errs = append(errs, field.Required(path.Child("completions"), fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion)))
		}
		if s.Parallelism != nil && *s.Parallelism > maxIndexedParallelism {
			errs = append(errs, field.Invalid(path.Child("parallelism"), *s.Parallelism, fmt.Sprintf("must be less than or equal to %d when completion mode is %s", maxIndexedParallelism, batchv1.IndexedCompletion)))
		}
		if s.Completions != nil && s.MaxFailedIndexes != nil && *s.MaxFailedIndexes > *s.Completions {
			errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *s.MaxFailedIndexes, "must be less than or equal to completions"))
		}
		if s.Completions != nil && *s.Completions > maxIndexedCompletions {
			errs = append(errs, field.Invalid(path.Child("completions"), *s.Completions, fmt.Sprintf("must be less than or equal to %d", maxIndexedCompletions)))
		}
		errs = append(errs, validateManyIndexes(s, path)...)
	} else {
		if s.BackoffLimitPerIndex != nil {
			errs = append(errs, field.Invalid(path.Child("backoffLimitPerIndex"), *s.BackoffLimitPerIndex, "requires indexed completion mode"))
		}
		if s.MaxFailedIndexes != nil {
			errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *s.MaxFailedIndexes, "requires indexed completion mode"))
		}
	}
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Required(path.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
	}
	return errs
}

// validateManyIndexes bounds what the status of a Job with a limit for each index may come to hold.
func validateManyIndexes(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	failed := path.Child("maxFailedIndexes")
	if s.MaxFailedIndexes != nil && *s.MaxFailedIndexes > maxFailedIndexes {
		errs = append(errs, field.Invalid(failed, *s.MaxFailedIndexes, fmt.Sprintf("must be less than or equal to %d", maxFailedIndexes)))
	}
	if s.BackoffLimitPerIndex == nil || s.Completions == nil || *s.Completions <= manyCompletions {
		return errs
	}
	if s.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(failed, fmt.Sprintf("must be specified when completions is above %d", manyCompletions)))
	} else if *s.MaxFailedIndexes > maxFailedOfMany {
		errs = append(errs, field.Invalid(failed, *s.MaxFailedIndexes, fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", maxFailedOfMany, manyCompletions)))
	}
	if s.Parallelism != nil && *s.Parallelism > maxParallelismForMany {
		errs = append(errs, field.Invalid(path.Child("parallelism"), *s.Parallelism, fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", maxParallelismForMany, manyCompletions)))
	}
	return errs
}

func validateReplacement(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if s.PodReplacementPolicy == nil {
		return nil
	}
	at := path.Child("podReplacementPolicy")
	if s.PodFailurePolicy != nil {
		return rules.OneOf(*s.PodReplacementPolicy, at, batchv1.Failed)
	}
	return rules.OneOf(*s.PodReplacementPolicy, at, batchv1.Failed, batchv1.TerminatingOrFailed)
}

func validateFailurePolicy(s *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if s.PodFailurePolicy == nil {
		return nil
	}
	var errs field.ErrorList
	path = path.Child("rules")
	if len(s.PodFailurePolicy.Rules) > maxFailurePolicyRules {
		errs = append(errs, field.TooMany(path, len(s.PodFailurePolicy.Rules), maxFailurePolicyRules))
	}
	known := sets.New[string]()
	for _, list := range [][]corev1.Container{s.Template.Spec.Containers, s.Template.Spec.InitContainers} {
		for i := range list {
			known.Insert(list[i].Name)
		}
	}
	for i := range s.PodFailurePolicy.Rules {
		errs = append(errs, validateFailureRule(s, &s.PodFailurePolicy.Rules[i], known, path.Index(i))...)
	}
	return errs
}

func validateFailureRule(s *batchv1.JobSpec, r *batchv1.PodFailurePolicyRule, containers sets.Set[string], path *field.Path) field.ErrorList {
	errs := rules.OneOf(r.Action, path.Child("action"), batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore)
	if r.Action == batchv1.PodFailurePolicyActionFailIndex && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(path.Child("action"), r.Action, "requires the backoffLimitPerIndex to be set"))
	}
	switch {
	case r.OnExitCodes != nil && len(r.OnPodConditions) > 0:
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
	case r.OnExitCodes == nil && len(r.OnPodConditions) == 0:
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
	}
	if r.OnExitCodes != nil {
		errs = append(errs, validateExitCodes(r.OnExitCodes, containers, path.Child("onExitCodes"))...)
	}
	if n := len(r.OnPodConditions); n > maxFailureConditions {
		errs = append(errs, field.TooMany(path.Child("onPodConditions"), n, maxFailureConditions))
	}
	for i, c := range r.OnPodConditions {
		at := path.Child("onPodConditions").Index(i)
		errs = append(errs, rules.Messages(validation.IsQualifiedName(string(c.Type)), c.Type, at.Child("type"))...)
		errs = append(errs, rules.OneOf(c.Status, at.Child("status"), corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)...)
	}
	return errs
}

func validateExitCodes(e *batchv1.PodFailurePolicyOnExitCodesRequirement, containers sets.Set[string], path *field.Path) field.ErrorList {
	errs := rules.OneOf(e.Operator, path.Child("operator"), batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)
	if e.ContainerName != nil && !containers.Has(*e.ContainerName) {
		errs = append(errs, field.Invalid(path.Child("containerName"), *e.ContainerName, "must be one of the container or initContainer names in the pod template"))
	}
	at := path.Child("values")
	if n := len(e.Values); n == 0 {
		errs = append(errs, field.Invalid(at, e.Values, "at least one value is required"))
	} else if n > maxFailureExitCodes {
		errs = append(errs, field.TooMany(at, n, maxFailureExitCodes))
	}
	for i, v := range e.Values {
		switch {
		case v == 0 && e.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn:
			errs = append(errs, field.Invalid(at.Index(i), v, "must not be 0 for the In operator"))
		case i > 0 && v == e.Values[i-1]:
			errs = append(errs, field.Duplicate(at.Index(i), v))
		case i > 0 && v < e.Values[i-1]:
			errs = append(errs, field.Invalid(at, e.Values, "must be ordered"))
		}
	}
	return errs
}
