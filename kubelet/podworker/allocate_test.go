package podworker

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

func sized(uid, cpu string) *v1.Pod {
	p := &v1.Pod{}
	p.Name, p.UID = uid, types.UID(uid)
	p.Spec.Containers = []v1.Container{{Name: "main", Image: "a", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{"cpu": resource.MustParse(cpu)}}}}
	return p
}

// TestAllocate: a pod keeps its size while the one it asks for does not fit, and everything else of it is taken.
func TestAllocate(t *testing.T) {
	fits := false
	d := &Deps{Fits: func(*v1.Pod, []*v1.Pod) (string, string) {
		if fits {
			return "", ""
		}
		return v1.PodReasonDeferred, "full"
	}}
	m := NewManager(t.Context(), d, nil)
	w := newWorker(d, sized("a", "1"), nil)
	asked := sized("a", "2")
	asked.Labels = map[string]string{"new": "label"}
	got, r := m.allocateLocked(w, asked)
	if cpu := got.Spec.Containers[0].Resources.Requests.Cpu().String(); cpu != "1" || r.Pending != v1.PodReasonDeferred || got.Labels["new"] == "" {
		t.Errorf("cpu %s, %+v, labels %v", cpu, r, got.Labels)
	}
	if cpu := asked.Spec.Containers[0].Resources.Requests.Cpu().String(); cpu != "2" {
		t.Errorf("the API's object was changed to %s", cpu)
	}
	fits = true
	if got, r = m.allocateLocked(w, w.asked); got != asked || r.Pending != "" || w.asked != nil {
		t.Errorf("%v %+v", got.Spec.Containers[0].Resources, r)
	}
}

// TestResumed: a new kubelet knows from the status which size a waiting pod has.
func TestResumed(t *testing.T) {
	p := sized("a", "2")
	if got := resumed(p); got != p {
		t.Error("a pod that does not wait was changed")
	}
	p.Status.Conditions = []v1.PodCondition{{Type: v1.PodResizePending}}
	one := v1.ResourceList{"cpu": resource.MustParse("1")}
	p.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "main", AllocatedResources: one, Resources: &v1.ResourceRequirements{Limits: one}}}
	got := resumed(p).Spec.Containers[0].Resources
	if got.Requests.Cpu().String() != "1" || got.Limits.Cpu().String() != "1" {
		t.Errorf("%v", got)
	}
}
