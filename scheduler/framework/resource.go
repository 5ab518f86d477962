package framework

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Resource is an amount of what nodes have and pods ask for.
type Resource struct {
	MilliCPU  int64
	Memory    int64 // bytes
	Ephemeral int64 // bytes
	Pods      int64
	Other     map[corev1.ResourceName]int64 // extended resources and huge pages
}

// ResourceOf converts a list, as of a node's allocatable.
func ResourceOf(l corev1.ResourceList) Resource {
	var r Resource
	for name, q := range l {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = amount(q, 1000)
		case corev1.ResourceMemory:
			r.Memory = amount(q, 1)
		case corev1.ResourceEphemeralStorage:
			r.Ephemeral = amount(q, 1)
		case corev1.ResourcePods:
			r.Pods = amount(q, 1)
		default:
			if r.Other == nil {
				r.Other = map[corev1.ResourceName]int64{}
			}
			r.Other[name] = amount(q, 1)
		}
	}
	return r
}

// most is what counts of any amount: more than any node has, and little enough that the requests of
// thousands of pods add up without wrapping round to nothing.
const most = 1 << 50

// amount is a quantity in parts of so many to one.
func amount(q resource.Quantity, parts int64) int64 {
	switch {
	case q.CmpInt64(most/parts) >= 0:
		return most
	case q.Sign() < 0:
		return 0
	case parts == 1000:
		return q.MilliValue()
	}
	return q.Value()
}

// requestOf is what a pod needs: the sum of its containers or the largest step
// of its start, with sidecars and overhead (KEP-753, KEP-688).
func requestOf(p *corev1.Pod) Resource {
	r := ResourceOf(resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{UseStatusResources: true}))
	r.Pods = 1
	return r
}

// SameRequest reports whether p's newer state asks for as much as before.
func (p *Pod) SameRequest(newer *corev1.Pod) bool { return requestOf(newer).Equal(p.Request) }

// Equal compares amounts; an absent resource is one of 0.
func (r Resource) Equal(o Resource) bool {
	return r.MilliCPU == o.MilliCPU && r.Memory == o.Memory && r.Ephemeral == o.Ephemeral && r.Pods == o.Pods &&
		covers(r.Other, o.Other) && covers(o.Other, r.Other)
}

func covers(a, b map[corev1.ResourceName]int64) bool {
	for name, v := range b {
		if a[name] != v {
			return false
		}
	}
	return true
}

// Weight is what pods count for when nodes are compared.
type Weight struct{ MilliCPU, Memory int64 }

func weightOf(p *corev1.Pod, r Resource) Weight {
	if !slices.ContainsFunc(p.Spec.Containers, requestsNothing) && !slices.ContainsFunc(p.Spec.InitContainers, requestsNothing) {
		return Weight{r.MilliCPU, r.Memory}
	}
	w := ResourceOf(resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{
		UseStatusResources: true, NonMissingContainerRequests: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(DefaultMilliCPU, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(DefaultMemory, resource.BinarySI),
		},
	}))
	return Weight{w.MilliCPU, w.Memory}
}

func requestsNothing(c corev1.Container) bool {
	_, cpu := c.Resources.Requests[corev1.ResourceCPU]
	_, mem := c.Resources.Requests[corev1.ResourceMemory]
	return !cpu || !mem
}

// Add and Sub change r by o.
func (r *Resource) Add(o Resource) { r.change(o, 1) }
func (r *Resource) Sub(o Resource) { r.change(o, -1) }

func (r *Resource) change(o Resource, sign int64) {
	r.MilliCPU += sign * o.MilliCPU
	r.Memory += sign * o.Memory
	r.Ephemeral += sign * o.Ephemeral
	r.Pods += sign * o.Pods
	for name, v := range o.Other {
		if r.Other == nil {
			r.Other = map[corev1.ResourceName]int64{}
		}
		r.Other[name] += sign * v
	}
}

// Clone returns a copy that shares nothing.
func (r Resource) Clone() Resource {
	r.Other = maps.Clone(r.Other)
	return r
}

// What a container that requests nothing is taken to use when nodes are compared.
const (
	DefaultMilliCPU = 100
	DefaultMemory   = 200 << 20
)

// Free is the share of capacity that is left, 0 to MaxScore.
func Free(used, capacity int64) int64 {
	if capacity == 0 || used > capacity {
		return 0
	}
	return (capacity - used) * MaxScore / capacity
}
