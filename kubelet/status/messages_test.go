package status

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	v1 "k8s.io/api/core/v1"
)

// TestMessagesShareTheirRoom: 12 KiB for all containers, whole characters, and nothing that is shared is changed.
func TestMessagesShareTheirRoom(t *testing.T) {
	for _, c := range []struct {
		containers int
		text       string
		want       int
	}{{1, strings.Repeat("x", 4096), 4096}, {3, strings.Repeat("x", 4096), 4096}, {6, strings.Repeat("x", 4096), 2048}, {7, strings.Repeat("é", 2048), 1754}, {1, "a\xffb", 5}} {
		var s v1.PodStatus
		shared := &v1.ContainerStateTerminated{Message: c.text}
		for i := range c.containers {
			st := v1.ContainerStatus{Name: fmt.Sprint(i), State: v1.ContainerState{Terminated: shared}, LastTerminationState: v1.ContainerState{Terminated: shared}}
			switch i % 3 {
			case 0:
				s.ContainerStatuses = append(s.ContainerStatuses, st)
			case 1:
				s.InitContainerStatuses = append(s.InitContainerStatuses, st)
			default:
				s.EphemeralContainerStatuses = append(s.EphemeralContainerStatuses, st)
			}
		}
		limitMessages(&s)
		for _, m := range []string{s.ContainerStatuses[0].State.Terminated.Message, s.ContainerStatuses[0].LastTerminationState.Terminated.Message} {
			if len(m) != c.want || !utf8.ValidString(m) {
				t.Errorf("%d containers: %d bytes, want %d", c.containers, len(m), c.want)
			}
		}
		if shared.Message != c.text {
			t.Error("the shared state was changed")
		}
	}
}
