package status

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/api/core"
)

// TestEnded: what a pod that has ended says of its containers, and the STATUS that a client shows.
func TestEnded(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := v1.Container{Name: "main", Image: "a"}
	created := &runtimeapi.ContainerStatus{Id: "1", Metadata: &runtimeapi.ContainerMetadata{Name: "main"}, State: runtimeapi.ContainerState_CONTAINER_CREATED}
	for name, x := range map[string]struct {
		init   []v1.Container
		old    v1.PodStatus
		have   []*runtimeapi.ContainerStatus
		final  Final
		shown  string
		states string // of init and main containers: t(erminated), w(aiting), r(unning)
	}{
		"refused":        {nil, v1.PodStatus{}, nil, Final{Phase: v1.PodFailed, Reason: "OutOfcpu", Refused: true, Done: true}, "OutOfcpu", ""},
		"refused, init":  {[]v1.Container{{Name: "init"}}, v1.PodStatus{}, nil, Final{Phase: v1.PodFailed, Reason: "NodePorts", Refused: true, Done: true}, "NodePorts", ""},
		"never pulled":   {nil, v1.PodStatus{}, nil, Final{Phase: v1.PodFailed, Reason: "DeadlineExceeded", Done: true}, "ContainerStatusUnknown", "t"},
		"never started":  {nil, v1.PodStatus{}, []*runtimeapi.ContainerStatus{created}, Final{Phase: v1.PodFailed, Reason: "DeadlineExceeded", Done: true}, "ContainerStatusUnknown", "t"},
		"evicted before": {[]v1.Container{{Name: "init"}}, v1.PodStatus{}, nil, Final{Phase: v1.PodFailed, Reason: "Evicted", Done: true}, "Init:ContainerStatusUnknown", "tt"},
		"lost": {nil, v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "main", ContainerID: "containerd://0", State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}}},
			nil, Final{Done: true}, "ContainerStatusUnknown", "t"},
		"init failed": {[]v1.Container{{Name: "init"}}, v1.PodStatus{InitContainerStatuses: []v1.ContainerStatus{{Name: "init", State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}}}},
			nil, Final{Done: true}, "Init:Error", "tw"},
		"being stopped": {nil, v1.PodStatus{}, nil, Final{}, "ContainerCreating", "w"},
	} {
		pod := &v1.Pod{Spec: v1.PodSpec{InitContainers: x.init, Containers: []v1.Container{c}}, Status: x.old}
		in := Input{Pod: pod, Final: x.final, Now: now}
		in.Runtime.Merge(nil, x.have...)
		pod.Status = Compute(in)
		got := ""
		for _, s := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			switch {
			case s.State.Terminated != nil:
				got += "t"
				if s.State.Terminated.Reason == "ContainerStatusUnknown" && s.State.Terminated.ExitCode != 137 {
					t.Errorf("%s: %+v", name, s.State.Terminated)
				}
			case s.State.Running != nil:
				got += "r"
			default:
				got += "w"
			}
		}
		if row := core.PodRow(pod, now); row[2] != x.shown || got != x.states {
			t.Errorf("%s: STATUS %v, containers %q; want %s, %q", name, row[2], got, x.shown, x.states)
		}
		if want := x.final.Done; want && pod.Status.Phase != v1.PodFailed {
			t.Errorf("%s: phase %s", name, pod.Status.Phase)
		}
	}
}
