package cri

import (
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/api/core"
)

// CPUPeriod is the length of a CFS period in microseconds.
const CPUPeriod = 100000

// maxMilli is the request that has the largest weight of cgroup v1, 262144.
const maxMilli = 256000

// CPUShares converts a request to the weight of cgroup v1.
func CPUShares(milli int64) int64 {
	// Bounded first: the product of a large request would wrap to the smallest weight.
	return max(min(milli, maxMilli)*1024/1000, 2)
}

// unlimitedMilli is a limit that no machine reaches; the kernel refuses much larger quotas.
const unlimitedMilli = 1_000_000_000

// CPUQuota converts a limit to microseconds a period; no limit, and one of a million processors or more, is zero.
func CPUQuota(milli int64) int64 {
	if milli <= 0 || milli >= unlimitedMilli {
		return 0
	}
	return max(milli*CPUPeriod/1000, 1000)
}

// QoS is the class of a pod: the one it was given, else what its containers' requests and limits say.
func QoS(pod *v1.Pod) v1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	return core.QOSClass(&pod.Spec)
}

// OOMScoreAdj says how willing the kernel is to kill a container when memory runs out.
func OOMScoreAdj(pod *v1.Pod, c *v1.Container, capacity int64) int64 {
	if pod.Spec.Priority != nil && *pod.Spec.Priority >= 2000001000 { // system-node-critical
		return -997
	}
	switch QoS(pod) {
	case v1.PodQOSGuaranteed:
		return -997
	case v1.PodQOSBestEffort:
		return 1000
	}
	if capacity <= 0 {
		return 999
	}
	request := c.Resources.Requests.Memory().Value()
	if request >= capacity { // and no product that wraps
		return 3
	}
	adj := 1000 - 1000*request/capacity
	switch {
	case adj < 3:
		return 3
	case adj >= 1000:
		return 999
	}
	return adj
}

// Resize renders what a resize sets: no limit has to be said.
func (r *Renderer) Resize(pod *v1.Pod, c *v1.Container) *runtimeapi.LinuxContainerResources {
	out := r.containerResources(pod, c)
	if out.CpuQuota == 0 {
		out.CpuQuota = -1
	}
	out.OomScoreAdj = 0 // stays
	return out
}

func (r *Renderer) containerResources(pod *v1.Pod, c *v1.Container) *runtimeapi.LinuxContainerResources {
	request := c.Resources.Requests.Cpu()
	if request.IsZero() && !c.Resources.Limits.Cpu().IsZero() {
		request = c.Resources.Limits.Cpu()
	}
	out := &runtimeapi.LinuxContainerResources{
		CpuShares:          CPUShares(request.MilliValue()),
		CpuPeriod:          CPUPeriod,
		CpuQuota:           CPUQuota(c.Resources.Limits.Cpu().MilliValue()),
		MemoryLimitInBytes: c.Resources.Limits.Memory().Value(),
		OomScoreAdj:        OOMScoreAdj(pod, c, r.MemoryCapacity),
	}
	if r.UnifiedCgroups {
		out.Unified = map[string]string{}
		if out.MemoryLimitInBytes > 0 {
			out.Unified["memory.oom.group"] = "1"
		}
		out.MemorySwapLimitInBytes = out.MemoryLimitInBytes // no swap
	}
	return out
}
