package quota

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestResizedDown: what a pod gives back counts until its node has taken it.
func TestResizedDown(t *testing.T) {
	memory := func(q string) *corev1.ResourceRequirements {
		l := corev1.ResourceList{"memory": resource.MustParse(q)}
		return &corev1.ResourceRequirements{Requests: l, Limits: l}
	}
	pod := func(spec, status string) *corev1.Pod {
		p := &corev1.Pod{}
		p.Spec.Containers = []corev1.Container{{Name: "c", Resources: *memory(spec)}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", Resources: memory(status), AllocatedResources: memory(status).Requests}}
		return p
	}
	pods := schema.GroupResource{Resource: "pods"}
	for _, name := range []corev1.ResourceName{"requests.memory", "limits.memory"} {
		if got := Usage(pods, pod("20Mi", "60Mi"))[name]; got.String() != "60Mi" {
			t.Errorf("%s while the node still has it: %s", name, got.String())
		}
		if got := Usage(pods, pod("20Mi", "20Mi"))[name]; got.String() != "20Mi" {
			t.Errorf("%s once it is done: %s", name, got.String())
		}
		if got := Usage(pods, pod("90Mi", "20Mi"))[name]; got.String() != "90Mi" {
			t.Errorf("%s on the way up: %s", name, got.String())
		}
	}
	if !Lowered(pods, pod("20Mi", "60Mi"), pod("20Mi", "20Mi")) || Lowered(pods, pod("20Mi", "20Mi"), pod("20Mi", "20Mi")) {
		t.Error("what is free again is not told")
	}
	services := schema.GroupResource{Resource: "services"}
	node := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: make([]corev1.ServicePort, 1)}}
	if !Lowered(services, node, &corev1.Service{}) {
		t.Error("a node port that is free again is not told")
	}
}

// TestWholePod: a pod that says for all containers together what it needs has said it.
func TestWholePod(t *testing.T) {
	hard := corev1.ResourceList{"requests.cpu": resource.MustParse("1"), "limits.cpu": resource.MustParse("1"), "memory": resource.MustParse("1")}
	p := &corev1.Pod{}
	p.Spec.Containers = []corev1.Container{{Name: "c"}}
	if got := Unspecified(p, hard); len(got) != 3 {
		t.Errorf("%v", got)
	}
	l := corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1")}
	p.Spec.Resources = &corev1.ResourceRequirements{Requests: l, Limits: l}
	if got := Unspecified(p, hard); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
