package status

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestLimit: a status stays small however long what it repeats is, and is whole where that is short.
func TestLimit(t *testing.T) {
	make := func(long int) *v1.PodStatus {
		s := &v1.PodStatus{}
		for i := range 10 {
			c := v1.ContainerStatus{Name: fmt.Sprint(i), Image: "i" + strings.Repeat("i", long),
				State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "R", Message: "m" + strings.Repeat("m", long)}}}
			for range 100 {
				c.VolumeMounts = append(c.VolumeMounts, v1.VolumeMountStatus{Name: "v", MountPath: "/" + strings.Repeat("p", long/10)})
			}
			s.ContainerStatuses = append(s.ContainerStatuses, c)
		}
		return s
	}
	s, want := make(100), make(100)
	limit(s)
	if a, b := text(t, s), text(t, want); a != b {
		t.Errorf("changed: %s", a)
	}
	s = make(100_000)
	shared := s.ContainerStatuses[0].State.Waiting
	limit(s)
	if n := len(text(t, s)); n > 100<<10 {
		t.Errorf("%d bytes", n)
	}
	if len(shared.Message) != 100_001 {
		t.Error("the shared state was changed")
	}
}

func text(t *testing.T, s *v1.PodStatus) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
