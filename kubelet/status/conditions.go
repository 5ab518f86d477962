package status

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kubelet/cri"
)

// conditions renders those the kubelet owns and keeps the others (readiness gates, scheduling, disruption).
func conditions(in Input, s v1.PodStatus) []v1.PodCondition {
	own := []v1.PodCondition{
		flag(v1.PodReadyToStartContainers, in.SandboxReady, "", ""),
		initCondition(in, s),
		readyCondition(in, s),
		containersCondition(in, s),
		flag(v1.PodScheduled, true, "", ""),
	}
	own = append(own, in.Final.Conditions...)
	own = append(own, resize(in)...)
	if in.Restarting != nil {
		own = append(own, *in.Restarting)
	}
	out := others(in, own)
	for _, c := range own {
		c.ObservedGeneration = in.Pod.Generation
		c.LastTransitionTime = metav1.Time{Time: in.Now}.Rfc3339Copy()
		if old := find(in.Pod.Status.Conditions, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		out = append(out, c)
	}
	return out
}

// others are the conditions that the kubelet does not own.
func others(in Input, own []v1.PodCondition) (out []v1.PodCondition) {
	for _, c := range in.Pod.Status.Conditions {
		if find(own, c.Type) == nil && c.Type != v1.PodResizePending && c.Type != v1.PodResizeInProgress {
			out = append(out, c)
		}
	}
	return out
}

// resize renders the two conditions that are there only while they hold.
func resize(in Input) (out []v1.PodCondition) {
	r := in.Resize
	if in.Final.Phase != "" || in.Final.Done {
		return nil
	}
	if r.Pending != "" {
		out = append(out, flag(v1.PodResizePending, true, r.Pending, r.Message))
	}
	if r.InProgress {
		reason := ""
		if r.Error != "" {
			reason = v1.PodReasonError
		}
		out = append(out, flag(v1.PodResizeInProgress, true, reason, r.Error))
	}
	return out
}

func find(list []v1.PodCondition, t v1.PodConditionType) *v1.PodCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

func flag(t v1.PodConditionType, ok bool, reason, message string) v1.PodCondition {
	c := v1.PodCondition{Type: t, Status: v1.ConditionFalse, Reason: reason, Message: message}
	if ok {
		c.Status = v1.ConditionTrue
	}
	return c
}

func initCondition(in Input, s v1.PodStatus) v1.PodCondition {
	if s.Phase == v1.PodSucceeded {
		return flag(v1.PodInitialized, true, "PodCompleted", "")
	}
	if initialized(in.Pod, s) {
		return flag(v1.PodInitialized, true, "", "")
	}
	// Once a main container was started initialization is over, even when a sidecar is being restarted.
	for _, c := range s.ContainerStatuses {
		if c.ContainerID != "" {
			return flag(v1.PodInitialized, true, "", "")
		}
	}
	var left []string
	for i, c := range s.InitContainerStatuses {
		sidecar := cri.Restartable(&in.Pod.Spec.InitContainers[i])
		if sidecar && (c.Started == nil || !*c.Started) || !sidecar && !c.Ready {
			left = append(left, c.Name)
		}
	}
	return flag(v1.PodInitialized, false, "ContainersNotInitialized",
		fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(left, " ")))
}

func containersCondition(in Input, s v1.PodStatus) v1.PodCondition {
	switch s.Phase {
	case v1.PodSucceeded:
		return flag(v1.ContainersReady, false, "PodCompleted", "")
	case v1.PodFailed:
		return flag(v1.ContainersReady, false, "PodFailed", "")
	}
	var unready []string
	for i, c := range s.InitContainerStatuses {
		if cri.Restartable(&in.Pod.Spec.InitContainers[i]) && !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	if len(unready) > 0 {
		return flag(v1.ContainersReady, false, "ContainersNotReady",
			fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " ")))
	}
	return flag(v1.ContainersReady, true, "", "")
}

func readyCondition(in Input, s v1.PodStatus) v1.PodCondition {
	c := containersCondition(in, s)
	c.Type = v1.PodReady
	if c.Status != v1.ConditionTrue {
		return c
	}
	var missing []string
	for _, g := range in.Pod.Spec.ReadinessGates {
		have := find(in.Pod.Status.Conditions, g.ConditionType)
		switch {
		case have == nil:
			missing = append(missing, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", g.ConditionType))
		case have.Status != v1.ConditionTrue:
			missing = append(missing, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", g.ConditionType, have.Status))
		}
	}
	if len(missing) > 0 {
		return flag(v1.PodReady, false, "ReadinessGatesNotReady", strings.Join(missing, ", "))
	}
	return c
}
