// Package status says what a pod's status is and tells the API server.
//
//	Compute   pure: the pod, what the runtime knows, what the worker knows → v1.PodStatus
//	Manager   sends the newest status of each pod, one request at a time for a pod, only what differs
package status

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
)

// Waiting is why a container does not run.
type Waiting struct{ Reason, Message string }

// Probed is what probes say of a container (by its runtime id).
type Probed struct {
	ID             string
	Started, Ready bool
}

// Final overrides what the containers say: the pod was stopped or refused.
type Final struct {
	Phase           v1.PodPhase // empty: by the containers
	Reason, Message string
	Refused         bool // it never began: there is nothing to say of its containers
	Terminating     bool // containers are being stopped: not ready any more
	Done            bool // every container is down and will not start again
	Conditions      []v1.PodCondition
}

// Resize is how a pod's size in the spec and on the node relate.
type Resize struct {
	Pending, Message string // why the spec's size is not tried; empty when it is
	InProgress       bool
	Error            string // of the last try
}

// Input is everything that a status is made from.
type Input struct {
	Pod     *v1.Pod // as last seen in the API, with its status
	Runtime cri.Pod
	Waiting map[string]Waiting
	Probed  map[string]Probed
	Final   Final
	Resize  Resize
	// Restarting is the condition about the last restart of all containers; nil when there was none.
	Restarting *v1.PodCondition
	HostIPs    []string
	Now        time.Time
	// SandboxReady is false until the sandbox and volumes stand.
	SandboxReady bool
	// Message reads a dead container's termination message.
	Message func(*runtimeapi.ContainerStatus) string
}

// Compute renders the status.
func Compute(in Input) v1.PodStatus {
	old := in.Pod.Status
	s := v1.PodStatus{
		ObservedGeneration:          in.Pod.Generation,
		QOSClass:                    cri.QoS(in.Pod),
		StartTime:                   old.StartTime,
		NominatedNodeName:           old.NominatedNodeName,
		Resize:                      old.Resize,
		ResourceClaimStatuses:       old.ResourceClaimStatuses,
		ExtendedResourceClaimStatus: old.ExtendedResourceClaimStatus,
		Reason:                      in.Final.Reason,
		Message:                     in.Final.Message,
	}
	if s.StartTime == nil {
		s.StartTime = &metav1.Time{Time: in.Now.Truncate(time.Second)}
	}
	if in.Final.Refused {
		s.Phase, s.Conditions = in.Final.Phase, others(in, nil)
		return s
	}
	in.HostIPs = oneOfEach(in.HostIPs)
	for _, ip := range in.HostIPs {
		s.HostIPs = append(s.HostIPs, v1.HostIP{IP: ip})
	}
	if len(in.HostIPs) > 0 {
		s.HostIP = in.HostIPs[0]
	}
	setIPs(&s, in)
	s.InitContainerStatuses = containers(in, in.Pod.Spec.InitContainers, old.InitContainerStatuses, true)
	s.ContainerStatuses = containers(in, in.Pod.Spec.Containers, old.ContainerStatuses, false)
	s.EphemeralContainerStatuses = containers(in, ephemeral(in.Pod), old.EphemeralContainerStatuses, false)
	if in.Final.Done {
		settle(in.Pod, &s)
	}
	s.Phase = in.Final.Phase
	if s.Phase == "" {
		s.Phase = phase(in, s)
	}
	s.Conditions = conditions(in, s)
	limit(&s)
	return s
}

// settle sees to it that no container of a pod that has ended is said to wait or to run: what was never made, or got
// lost, counts as killed. Only what an init container's failure has kept from its turn still waits for it.
func settle(pod *v1.Pod, s *v1.PodStatus) {
	kept := false
	for i := range s.InitContainerStatuses {
		c := &s.InitContainerStatuses[i]
		if !kept {
			lost(c)
		}
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 && t.Reason != statusUnknown && i < len(pod.Spec.InitContainers) && !cri.Restartable(&pod.Spec.InitContainers[i]) {
			kept = true
		}
	}
	for i := range s.ContainerStatuses {
		if c := &s.ContainerStatuses[i]; !kept || c.State.Running != nil {
			lost(c)
		}
	}
	for i := range s.EphemeralContainerStatuses {
		lost(&s.EphemeralContainerStatuses[i])
	}
}

const statusUnknown = "ContainerStatusUnknown"

func lost(c *v1.ContainerStatus) {
	if c.State.Terminated != nil {
		return
	}
	c.Ready = false
	c.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
		Reason: statusUnknown, Message: "The container could not be located when the pod was terminated", ExitCode: 137, ContainerID: c.ContainerID,
	}}
}

func ephemeral(pod *v1.Pod) []v1.Container {
	var out []v1.Container
	for _, c := range pod.Spec.EphemeralContainers {
		out = append(out, v1.Container(c.EphemeralContainerCommon))
	}
	return out
}

func setIPs(s *v1.PodStatus, in Input) {
	ips := oneOfEach(in.Runtime.IPs())
	if in.Pod.Spec.HostNetwork {
		ips = nil
		if in.Runtime.Sandbox() != nil {
			ips = in.HostIPs
		}
	}
	if len(ips) == 0 { // the address of a stopped sandbox stays on show
		s.PodIP, s.PodIPs = in.Pod.Status.PodIP, in.Pod.Status.PodIPs
		return
	}
	s.PodIP = ips[0]
	for _, ip := range ips {
		s.PodIPs = append(s.PodIPs, v1.PodIP{IP: ip})
	}
}

// phase sums up containers of a pod that nobody stopped.
func phase(in Input, s v1.PodStatus) v1.PodPhase {
	if old := in.Pod.Status.Phase; old == v1.PodSucceeded || old == v1.PodFailed {
		return old
	}
	if in.Final.Done {
		return Outcome(in.Pod, s)
	}
	started, waiting := false, false
	for _, c := range s.ContainerStatuses {
		switch {
		case c.State.Running != nil, c.LastTerminationState.Terminated != nil, c.State.Terminated != nil:
			started = true
		default:
			waiting = true
		}
	}
	if !initialized(in.Pod, s) && !started {
		return v1.PodPending
	}
	if waiting {
		return v1.PodPending
	}
	return v1.PodRunning
}

// Outcome is the phase of a pod whose containers have all ended for good.
func Outcome(pod *v1.Pod, s v1.PodStatus) v1.PodPhase {
	for i, c := range s.InitContainerStatuses {
		if i < len(pod.Spec.InitContainers) && cri.Restartable(&pod.Spec.InitContainers[i]) {
			continue
		}
		if t := c.State.Terminated; t == nil || t.ExitCode != 0 {
			return v1.PodFailed
		}
	}
	for _, c := range s.ContainerStatuses {
		if t := c.State.Terminated; t == nil || t.ExitCode != 0 {
			return v1.PodFailed
		}
	}
	return v1.PodSucceeded
}

func initialized(pod *v1.Pod, s v1.PodStatus) bool {
	for i := range pod.Spec.InitContainers {
		st := s.InitContainerStatuses[i]
		if cri.Restartable(&pod.Spec.InitContainers[i]) {
			if st.Started == nil || !*st.Started {
				return false
			}
			continue
		}
		if st.State.Terminated == nil || st.State.Terminated.ExitCode != 0 {
			return false
		}
	}
	return true
}

// Equal compares two statuses as far as a reader could tell them apart.
func Equal(a, b *v1.PodStatus) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, s := range []*v1.PodStatus{a, b} {
		slices.SortFunc(s.Conditions, func(x, y v1.PodCondition) int {
			if x.Type < y.Type {
				return -1
			}
			return 1
		})
		for i := range s.Conditions {
			s.Conditions[i].LastProbeTime = metav1.Time{}
		}
	}
	return equality.Semantic.DeepEqual(a, b)
}
