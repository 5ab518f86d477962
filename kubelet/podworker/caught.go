package podworker

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
)

// interrupted tells whether a call to the runtime was lost rather than refused: the runtime went away, or took longer
// than anyone waits. What it was to do is done again, and is nobody's failure.
func interrupted(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return false
}

// unsettled tells whether a container that an earlier kubelet was starting never ran, as far as anyone was told.
func unsettled(pod *v1.Pod, c *runtimeapi.ContainerStatus) bool {
	if !exited(c) || c.StartedAt != 0 {
		return false
	}
	s := inAPI(pod, c.Id)
	return s.State.Terminated == nil && (s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ContainerID != s.ContainerID)
}

// recovered is called when the runtime has told everything it has: what failed while it was away is tried again at
// once. The caller holds the lock.
func (w *Worker) recovered() {
	w.view.Retry = nil
	for name, mem := range w.view.Containers {
		if mem.Fault != nil && (mem.Fault.Lost || mem.Fault.Reason == images.ErrImageInspect) {
			f := *mem.Fault
			f.RetryAt = time.Time{}
			mem.Fault = &f
			w.view.Containers[name] = mem
		}
	}
	if w.view.SetUp.Lost {
		w.view.SetUp.RetryAt = time.Time{}
	}
}

// counted is what the runtime has of a pod without containers that were caught in their start.
func counted(v View) cri.Pod {
	rt := v.Runtime.Clone()
	for _, c := range v.Runtime.Containers {
		if caught(v, c) {
			rt.RemoveContainer(c.Id)
		}
	}
	return rt
}
