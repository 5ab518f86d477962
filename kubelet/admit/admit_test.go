package admit

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

func pod(uid, cpu string, edit func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{}
	p.UID = types.UID(uid)
	p.Spec.Containers = []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}}}}
	if edit != nil {
		edit(p)
	}
	return p
}

func TestPod(t *testing.T) {
	node := &v1.Node{}
	node.Labels = map[string]string{"disk": "ssd"}
	node.Status.Allocatable = v1.ResourceList{v1.ResourceCPU: resource.MustParse("2"), v1.ResourcePods: resource.MustParse("3")}
	here := []*v1.Pod{pod("a", "1500m", func(p *v1.Pod) { p.Spec.Containers[0].Ports = []v1.ContainerPort{{HostPort: 80, Protocol: "TCP"}} })}
	for name, c := range map[string]struct {
		pod    *v1.Pod
		here   []*v1.Pod
		reason string
	}{
		"fits":     {pod("x", "500m", nil), here, ""},
		"itself":   {pod("a", "2", nil), here, ""},
		"cpu":      {pod("x", "501m", nil), here, "OutOfcpu"},
		"pods":     {pod("x", "0", nil), append(here, pod("b", "0", nil), pod("c", "0", nil)), "OutOfpods"},
		"device":   {pod("x", "0", func(p *v1.Pod) { p.Spec.Containers[0].Resources.Requests["example.com/gpu"] = resource.MustParse("1") }), here, ""},
		"selector": {pod("x", "0", func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "hdd"} }), here, "NodeAffinity"},
		"port":     {pod("x", "0", func(p *v1.Pod) { p.Spec.Containers[0].Ports = []v1.ContainerPort{{HostPort: 80, Protocol: "TCP"}} }), here, "NodePorts"},
	} {
		got := Pod(c.pod, c.here, node, Host{})
		if got == nil && c.reason != "" || got != nil && got.Reason != c.reason {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if m := Pod(pod("x", "501m", nil), here, node, Host{}).Message; m != "Pod was rejected: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000" {
		t.Error(m)
	}
}
