package cri

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Size is what a resize may change of a container, as the runtime counts. Zero quota and memory mean no limit.
type Size struct{ Shares, Quota, Memory int64 }

// SizeOf is the size that a container's spec asks for.
func SizeOf(c *v1.Container) Size {
	request := c.Resources.Requests.Cpu()
	if request.IsZero() && !c.Resources.Limits.Cpu().IsZero() {
		request = c.Resources.Limits.Cpu()
	}
	return Size{
		Shares: CPUShares(request.MilliValue()),
		Quota:  CPUQuota(c.Resources.Limits.Cpu().MilliValue()),
		Memory: c.Resources.Limits.Memory().Value(),
	}
}

// ActualSize is the size that the runtime reports; false where it reports none.
func ActualSize(c *runtimeapi.ContainerStatus) (Size, bool) {
	l := c.GetResources().GetLinux()
	if l == nil || l.CpuShares == 0 {
		return Size{}, false
	}
	s := Size{Shares: l.CpuShares, Quota: max(l.CpuQuota, 0), Memory: max(l.MemoryLimitInBytes, 0)}
	if s.Quota > 0 && l.CpuPeriod > 0 && l.CpuPeriod != CPUPeriod {
		s.Quota = s.Quota * CPUPeriod / l.CpuPeriod
	}
	return s, true
}

// RestartsFor tells whether a container must be started anew to go from one size to another.
func RestartsFor(c *v1.Container, from, to Size) bool {
	for _, p := range c.ResizePolicy {
		if p.RestartPolicy != v1.RestartContainer {
			continue
		}
		if p.ResourceName == v1.ResourceCPU && (from.Shares != to.Shares || from.Quota != to.Quota) ||
			p.ResourceName == v1.ResourceMemory && from.Memory != to.Memory {
			return true
		}
	}
	return false
}

// Resources are a container's resources as its status shows them: the spec's, where the runtime has them, else
// what the runtime has.
func Resources(c *v1.Container, cur *runtimeapi.ContainerStatus) *v1.ResourceRequirements {
	out := &v1.ResourceRequirements{Requests: c.Resources.Requests.DeepCopy(), Limits: c.Resources.Limits.DeepCopy()}
	have, known := ActualSize(cur)
	if !known {
		return out
	}
	want := SizeOf(c)
	if have.Shares != want.Shares {
		put(&out.Requests, v1.ResourceCPU, *resource.NewMilliQuantity((have.Shares*1000+512)/1024, resource.DecimalSI))
	}
	if have.Quota != want.Quota {
		if have.Quota == 0 {
			delete(out.Limits, v1.ResourceCPU)
		} else {
			put(&out.Limits, v1.ResourceCPU, *resource.NewMilliQuantity(have.Quota*1000/CPUPeriod, resource.DecimalSI))
		}
	}
	if have.Memory != want.Memory {
		if have.Memory == 0 {
			delete(out.Limits, v1.ResourceMemory)
		} else {
			put(&out.Limits, v1.ResourceMemory, *resource.NewQuantity(have.Memory, resource.BinarySI))
		}
	}
	return out
}

func put(l *v1.ResourceList, name v1.ResourceName, q resource.Quantity) {
	if *l == nil {
		*l = v1.ResourceList{}
	}
	(*l)[name] = q
}
