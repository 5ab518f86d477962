package status

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
)

// runtimeName is how container ids are prefixed in the API.
const runtimeName = "containerd"

func containers(in Input, list []v1.Container, old []v1.ContainerStatus, init bool) []v1.ContainerStatus {
	var out []v1.ContainerStatus
	for i := range list {
		var before *v1.ContainerStatus
		for j := range old {
			if old[j].Name == list[i].Name {
				before = &old[j]
			}
		}
		out = append(out, one(in, &list[i], before, init))
	}
	return out
}

func one(in Input, c *v1.Container, before *v1.ContainerStatus, init bool) v1.ContainerStatus {
	s := v1.ContainerStatus{Name: c.Name, Image: c.Image}
	if before != nil {
		s.RestartCount, s.LastTerminationState = before.RestartCount, before.LastTerminationState
	}
	cur := in.Runtime.Container(c.Name)
	if cur == nil {
		unknown(in, c, before, &s)
		return s
	}
	s.ContainerID = runtimeName + "://" + cur.Id
	s.RestartCount = max(s.RestartCount, int32(cur.Metadata.GetAttempt()))
	s.ImageID = cur.ImageRef
	if cur.ImageId != "" && s.ImageID == "" {
		s.ImageID = cur.ImageId
	}
	s.Resources, s.AllocatedResources = cri.Resources(c, cur), c.Resources.Requests
	if u := cur.User.GetLinux(); u != nil {
		s.User = &v1.ContainerUser{Linux: &v1.LinuxContainerUser{UID: u.Uid, GID: u.Gid, SupplementalGroups: u.SupplementalGroups}}
	}
	if prev := in.Runtime.Previous(c.Name); prev != nil && prev.State == runtimeapi.ContainerState_CONTAINER_EXITED {
		s.LastTerminationState = v1.ContainerState{Terminated: terminated(in, prev)}
	}
	state(in, c, cur, &s)
	ready(in, c, cur, &s, init)
	s.VolumeMounts = mounts(c)
	return s
}

func mounts(c *v1.Container) []v1.VolumeMountStatus {
	var out []v1.VolumeMountStatus
	for _, m := range c.VolumeMounts {
		st := v1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := v1.RecursiveReadOnlyDisabled
			if m.RecursiveReadOnly != nil && *m.RecursiveReadOnly != v1.RecursiveReadOnlyDisabled {
				mode = v1.RecursiveReadOnlyEnabled
			}
			st.RecursiveReadOnly = &mode
		}
		out = append(out, st)
	}
	return out
}

// unknown is the status of a container that the runtime does not have: not made yet, or forgotten.
func unknown(in Input, c *v1.Container, before *v1.ContainerStatus, s *v1.ContainerStatus) {
	started := false
	s.Started = &started
	switch {
	case before != nil && before.State.Terminated != nil:
		s.State, s.ContainerID, s.ImageID = before.State, before.ContainerID, before.ImageID
		s.Resources, s.AllocatedResources, s.VolumeMounts = before.Resources, before.AllocatedResources, before.VolumeMounts
		s.Ready = before.Ready
		return
	case before != nil && before.State.Running != nil && in.Final.Done:
		s.ContainerID, s.ImageID = before.ContainerID, before.ImageID
		s.State = before.State // settled when all have been looked at
		return
	}
	s.State.Waiting = waiting(in, c)
}

func waiting(in Input, c *v1.Container) *v1.ContainerStateWaiting {
	if w, ok := in.Waiting[c.Name]; ok {
		return &v1.ContainerStateWaiting{Reason: w.Reason, Message: w.Message}
	}
	if len(in.Pod.Spec.InitContainers) > 0 {
		return &v1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &v1.ContainerStateWaiting{Reason: "ContainerCreating"}
}

func state(in Input, c *v1.Container, cur *runtimeapi.ContainerStatus, s *v1.ContainerStatus) {
	switch cur.State {
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		s.State.Running = &v1.ContainerStateRunning{StartedAt: at(cur.StartedAt)}
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		if w, ok := in.Waiting[c.Name]; ok && !in.Final.Done {
			s.State.Waiting = &v1.ContainerStateWaiting{Reason: w.Reason, Message: w.Message}
			s.LastTerminationState = v1.ContainerState{Terminated: terminated(in, cur)}
			return
		}
		s.State.Terminated = terminated(in, cur)
	default:
		s.State.Waiting = waiting(in, c)
	}
}

func at(ns int64) metav1.Time { return metav1.Time{Time: time.Unix(0, ns).Truncate(time.Second)} }

func terminated(in Input, c *runtimeapi.ContainerStatus) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: c.ExitCode, Reason: c.Reason, Message: c.Message, StartedAt: at(c.StartedAt), FinishedAt: at(c.FinishedAt),
		ContainerID: runtimeName + "://" + c.Id,
	}
	if t.Reason == "" {
		t.Reason = "Error"
		if c.ExitCode == 0 {
			t.Reason = "Completed"
		}
	}
	if in.Message != nil {
		if m := in.Message(c); m != "" {
			if t.Message != "" {
				t.Message += ": "
			}
			t.Message += m
		}
	}
	return t
}

func ready(in Input, c *v1.Container, cur *runtimeapi.ContainerStatus, s *v1.ContainerStatus, init bool) {
	started := false
	s.Started = &started
	if init && !cri.Restartable(c) {
		s.Ready = s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
		return
	}
	if s.State.Running == nil {
		return
	}
	p := in.Probed[c.Name]
	if p.ID != cur.Id {
		p = Probed{}
	}
	started = p.Started
	s.Ready = p.Started && p.Ready && !in.Final.Terminating
}
