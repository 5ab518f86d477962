package core

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/api/table"
)

// PodColumns are printed by kubectl get pods.
func PodColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
		table.Text("Status", "The aggregate status of the containers in this pod."),
		table.Text("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
		table.AgeColumn(),
		table.Wide(table.Text("IP", "Address of the pod in the cluster's network.")),
		table.Wide(table.Text("Node", "Name of the node the pod is bound to.")),
		table.Wide(table.Text("Nominated Node", "Node that preemption frees for this pod.")),
		table.Wide(table.Text("Readiness Gates", "Readiness gates that hold, of all that are declared.")),
	}
}

// PodRow fills PodColumns.
func PodRow(p *corev1.Pod, now time.Time) []any {
	s := summarize(p)
	ip := p.Status.PodIP
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	restarts := strconv.Itoa(s.restarts)
	if s.restarts != 0 && !s.lastRestart.IsZero() {
		restarts = fmt.Sprintf("%d (%s ago)", s.restarts, table.Age(s.lastRestart, now))
	}
	return []any{p.Name, fmt.Sprintf("%d/%d", s.ready, s.total), s.reason, restarts, table.Age(p.CreationTimestamp, now),
		table.OrNone(ip), table.OrNone(p.Spec.NodeName), table.OrNone(p.Status.NominatedNodeName), readinessGates(p)}
}

func readinessGates(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return table.None
	}
	hold := 0
	for _, g := range p.Spec.ReadinessGates {
		if podCondition(p, g.ConditionType) == corev1.ConditionTrue {
			hold++
		}
	}
	return fmt.Sprintf("%d/%d", hold, len(p.Spec.ReadinessGates))
}

func podCondition(p *corev1.Pod, t corev1.PodConditionType) corev1.ConditionStatus {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return p.Status.Conditions[i].Status
		}
	}
	return ""
}

// podSummary is a pod's state in the few words of a table row.
type podSummary struct {
	ready, total, restarts int
	lastRestart            metav1.Time
	reason                 string
}

func (s *podSummary) restarted(c *corev1.ContainerStatus) {
	s.restarts += int(c.RestartCount)
	if t := c.LastTerminationState.Terminated; t != nil && s.lastRestart.Before(&t.FinishedAt) {
		s.lastRestart = t.FinishedAt
	}
}

// summarize tells the state that matters most: deletion before the containers'
// trouble, that before the progress of init containers, that before the phase.
func summarize(p *corev1.Pod) podSummary {
	s := podSummary{total: len(p.Spec.Containers), reason: string(p.Status.Phase)}
	if p.Status.Reason != "" {
		s.reason = p.Status.Reason
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated {
			s.reason = corev1.PodReasonSchedulingGated
		}
	}
	sidecars := sidecarNames(p)
	s.total += len(sidecars)
	initializing, fromSidecars := s.initSteps(p, sidecars)
	if !initializing || podCondition(p, corev1.PodInitialized) == corev1.ConditionTrue {
		s.restarts, s.lastRestart = fromSidecars.restarts, fromSidecars.lastRestart
		s.mainSteps(p)
	}
	switch {
	case p.DeletionTimestamp == nil:
	case p.Status.Reason == "NodeLost":
		s.reason = string(corev1.PodUnknown)
	case p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed:
		s.reason = "Terminating"
	}
	return s
}

func sidecarNames(p *corev1.Pod) map[string]bool {
	var names map[string]bool
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; IsSidecar(c) {
			if names == nil {
				names = make(map[string]bool)
			}
			names[c.Name] = true
		}
	}
	return names
}

// initSteps walks the init containers up to the first unfinished one. The
// second result counts the restarts of sidecars alone.
func (s *podSummary) initSteps(p *corev1.Pod, sidecars map[string]bool) (initializing bool, fromSidecars podSummary) {
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		s.restarted(c)
		if sidecars[c.Name] {
			fromSidecars.restarted(c)
		}
		t, w := c.State.Terminated, c.State.Waiting
		switch {
		case t != nil && t.ExitCode == 0:
			continue
		case sidecars[c.Name] && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case t != nil:
			s.reason = "Init:" + endOf(t)
		case w != nil && w.Reason != "" && w.Reason != "PodInitializing":
			s.reason = "Init:" + w.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return true, fromSidecars
	}
	return false, fromSidecars
}

// mainSteps walks the containers from the last to the first, so that the first
// one's trouble is told.
func (s *podSummary) mainSteps(p *corev1.Pod) {
	running := false
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &p.Status.ContainerStatuses[i]
		s.restarted(c)
		switch t, w := c.State.Terminated, c.State.Waiting; {
		case w != nil && w.Reason != "":
			s.reason = w.Reason
		case t != nil:
			s.reason = endOf(t)
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.reason == "Completed" && running {
		s.reason = "NotReady"
		if podCondition(p, corev1.PodReady) == corev1.ConditionTrue {
			s.reason = "Running"
		}
	}
}

func endOf(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}
