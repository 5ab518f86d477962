package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestEndedStaysEnded: in a pod that restarts nothing a container that ended stays ended, unless a rule of its own
// restarts it or one of any container restarts all.
func TestEndedStaysEnded(t *testing.T) {
	rule := func(a corev1.ContainerRestartRuleAction) corev1.Container {
		return corev1.Container{Name: "side", RestartPolicy: new(corev1.ContainerRestartPolicyAlways), RestartPolicyRules: []corev1.ContainerRestartRule{{Action: a}}}
	}
	for name, c := range map[string]struct {
		init    []corev1.Container
		refused bool
	}{
		"no rules":                 {nil, true},
		"a rule of another":        {[]corev1.Container{rule(corev1.ContainerRestartRuleActionRestart)}, true},
		"a rule that restarts all": {[]corev1.Container{rule(corev1.ContainerRestartRuleActionRestartAllContainers)}, false},
	} {
		old := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, InitContainers: c.init, Containers: []corev1.Container{{Name: "main"}}}}
		old.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}}}}
		p := old.DeepCopy()
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		if errs := ValidatePodStatusUpdate(p, old); (len(errs) > 0) != c.refused {
			t.Errorf("%s: %v", name, errs)
		}
	}
}
