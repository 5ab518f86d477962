package evict

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
)

// Use is what a pod takes of the disk, in bytes: each emptyDir, and each container's logs and writable layer together.
type Use struct{ Volumes, Containers map[string]int64 }

// Verdict says why a pod must go, in the standard kubelet's words; nothing when it may stay.
func Verdict(pod *v1.Pod, use Use) string {
	limits := Limits(pod)
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if limit := limits[name]; use.Volumes[name] > limit.Value() {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", name, limit.String())
		}
	}
	if limit, ok := helpers.PodLimits(pod, helpers.PodResourcesOptions{})[v1.ResourceEphemeralStorage]; ok && use.total() > limit.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
	}
	for _, c := range everyContainer(pod) {
		if limit := c.Resources.Limits.StorageEphemeral(); !limit.IsZero() && use.Containers[c.Name] > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", c.Name, limit.String())
		}
	}
	return ""
}

func (u Use) total() (sum int64) {
	for _, m := range []map[string]int64{u.Volumes, u.Containers} {
		for _, n := range m {
			sum = plus(sum, n)
		}
	}
	return sum
}

// Limits are the limits of a pod's directories on disk, by the volume's name.
func Limits(pod *v1.Pod) map[string]*resource.Quantity {
	var out map[string]*resource.Quantity
	for i := range pod.Spec.Volumes {
		e := pod.Spec.Volumes[i].EmptyDir
		if e == nil || e.Medium != v1.StorageMediumDefault || e.SizeLimit == nil || e.SizeLimit.Sign() <= 0 {
			continue
		}
		if out == nil {
			out = map[string]*resource.Quantity{}
		}
		out[pod.Spec.Volumes[i].Name] = e.SizeLimit
	}
	return out
}

// limitsStorage tells whether any container says how much of the disk it takes at most.
func limitsStorage(pod *v1.Pod) bool {
	return slices.ContainsFunc(everyContainer(pod), func(c *v1.Container) bool { return !c.Resources.Limits.StorageEphemeral().IsZero() })
}

// everyContainer lists all that write logs and have a layer of their own.
func everyContainer(pod *v1.Pod) (out []*v1.Container) {
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			out = append(out, &list[i])
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		c := v1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		out = append(out, &c)
	}
	return out
}
