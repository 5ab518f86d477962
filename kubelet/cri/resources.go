package cri

import (
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CPUPeriod is the length of a CFS period in microseconds.
const CPUPeriod = 100000

// CPUShares converts a request to the weight of cgroup v1.
func CPUShares(milli int64) int64 {
	if milli == 0 {
		return 2
	}
	return min(max(milli*1024/1000, 2), 262144)
}

// CPUQuota converts a limit to microseconds a period; no limit is zero.
func CPUQuota(milli int64) int64 {
	if milli == 0 {
		return 0
	}
	return max(milli*CPUPeriod/1000, 1000)
}

// QoS is the class of a pod, by its containers' requests and limits.
func QoS(pod *v1.Pod) v1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	any, guaranteed := false, true
	look := func(r v1.ResourceRequirements) {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			req, lim := r.Requests[name], r.Limits[name]
			if !req.IsZero() || !lim.IsZero() {
				any = true
			}
			if lim.IsZero() || (!req.IsZero() && req.Cmp(lim) != 0) {
				guaranteed = false
			}
		}
	}
	if pod.Spec.Resources != nil {
		look(*pod.Spec.Resources)
	} else {
		for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
			for _, c := range list {
				look(c.Resources)
			}
		}
	}
	switch {
	case !any:
		return v1.PodQOSBestEffort
	case guaranteed:
		return v1.PodQOSGuaranteed
	}
	return v1.PodQOSBurstable
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
