package cri

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func list(cpu, memory string) v1.ResourceList {
	return v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse(memory)}
}

func reports(s Size) *runtimeapi.ContainerStatus {
	return &runtimeapi.ContainerStatus{Resources: &runtimeapi.ContainerResources{Linux: &runtimeapi.LinuxContainerResources{
		CpuShares: s.Shares, CpuQuota: s.Quota, CpuPeriod: CPUPeriod, MemoryLimitInBytes: s.Memory}}}
}

// TestResources: the spec's words where the runtime has that size, else what the runtime has.
func TestResources(t *testing.T) {
	c := &v1.Container{Resources: v1.ResourceRequirements{Requests: list("1m", "20Mi"), Limits: list("8m", "30Mi")}}
	got := Resources(c, reports(SizeOf(c)))
	if got.Requests.Cpu().String() != "1m" || got.Limits.Cpu().String() != "8m" {
		t.Errorf("%v", got)
	}
	got = Resources(c, reports(Size{Shares: 102, Quota: 20000, Memory: 40 << 20}))
	if got.Requests.Cpu().String() != "100m" || got.Limits.Cpu().String() != "200m" || got.Limits.Memory().String() != "40Mi" || got.Requests.Memory().String() != "20Mi" {
		t.Errorf("%v", got)
	}
	if c.Resources.Requests.Cpu().String() != "1m" {
		t.Error("the spec was changed")
	}
}
