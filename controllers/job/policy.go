package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// judge applies a job's failure policy to a failed pod: what the first matching rule says, and why.
// Without a match a failure just counts.
func judge(j *batchv1.Job, p *corev1.Pod) (batchv1.PodFailurePolicyAction, string) {
	if j.Spec.PodFailurePolicy == nil || p.Status.Phase != corev1.PodFailed {
		return batchv1.PodFailurePolicyActionCount, ""
	}
	for i, r := range j.Spec.PodFailurePolicy.Rules {
		if r.OnExitCodes != nil {
			if s := exited(p, r.OnExitCodes); s != nil {
				return r.Action, fmt.Sprintf("Container %s for pod %s/%s failed with exit code %v matching %v rule at index %d",
					s.Name, p.Namespace, p.Name, s.State.Terminated.ExitCode, r.Action, i)
			}
			continue
		}
		for _, want := range r.OnPodConditions {
			if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == want.Type && c.Status == want.Status }) {
				return r.Action, fmt.Sprintf("Pod %s/%s has condition %v matching %v rule at index %d", p.Namespace, p.Name, want.Type, r.Action, i)
			}
		}
	}
	return batchv1.PodFailurePolicyActionCount, ""
}

// exited finds a container that failed with a code that the requirement names.
func exited(p *corev1.Pod, r *batchv1.PodFailurePolicyOnExitCodesRequirement) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range list {
			s := &list[i]
			if s.State.Terminated == nil || s.State.Terminated.ExitCode == 0 || r.ContainerName != nil && *r.ContainerName != s.Name {
				continue
			}
			in := slices.Contains(r.Values, s.State.Terminated.ExitCode)
			if in == (r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn) {
				return s
			}
		}
	}
	return nil
}
