package podworker

import (
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestExpected: only events that an action under way will report itself leave the worker asleep.
func TestExpected(t *testing.T) {
	sandbox := func(typ runtimeapi.ContainerEventType) *runtimeapi.ContainerEventResponse {
		return &runtimeapi.ContainerEventResponse{ContainerId: "sb", ContainerEventType: typ, PodSandboxStatus: &runtimeapi.PodSandboxStatus{Id: "sb"}}
	}
	container := func(typ runtimeapi.ContainerEventType) *runtimeapi.ContainerEventResponse {
		return &runtimeapi.ContainerEventResponse{ContainerId: "c", ContainerEventType: typ, PodSandboxStatus: &runtimeapi.PodSandboxStatus{Id: "sb"},
			ContainersStatuses: []*runtimeapi.ContainerStatus{{Id: "c", Metadata: &runtimeapi.ContainerMetadata{Name: "main"}}}}
	}
	const (
		created = runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT
		started = runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT
		stopped = runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT
	)
	for name, c := range map[string]struct {
		busy map[string]Op
		ev   *runtimeapi.ContainerEventResponse
		want bool
	}{
		"sandbox of a set-up":         {map[string]Op{PodKey: OpSetUp}, sandbox(started), true},
		"sandbox nobody waits for":    {nil, sandbox(started), false},
		"sandbox that stops":          {map[string]Op{PodKey: OpSetUp}, sandbox(stopped), false},
		"container of a start":        {map[string]Op{"main": OpStart}, container(created), true},
		"container that another made": {map[string]Op{"other": OpStart}, container(started), false},
		"container that ends at once": {map[string]Op{"main": OpStart}, container(stopped), false},
	} {
		w := &Worker{view: View{Busy: c.busy}}
		if got := w.expected(c.ev); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
