package deployment

import (
	"cmp"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func replicasOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func sizeOf(set *appsv1.ReplicaSet) int32 {
	if set == nil {
		return 0
	}
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}

func rolling(d *appsv1.Deployment) bool {
	return d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType
}

// bounds resolves maxSurge (rounded up) and maxUnavailable (rounded down). Were both zero no step
// could be taken, so one pod may then be unavailable.
func bounds(d *appsv1.Deployment) (surge, unavailable int32) {
	if !rolling(d) {
		return 0, 0
	}
	r := d.Spec.Strategy.RollingUpdate
	if r == nil {
		r = &appsv1.RollingUpdateDeployment{}
	}
	resolve := func(v *intstr.IntOrString, up bool) int32 {
		def := intstr.FromString("25%")
		if v == nil {
			v = &def
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(v, int(replicasOf(d)), up)
		if err != nil {
			return 0
		}
		return fits(int64(max(n, 0)))
	}
	surge, unavailable = resolve(r.MaxSurge, true), resolve(r.MaxUnavailable, false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, min(unavailable, replicasOf(d))
}

// most is how many pods there may be at all.
func most(d *appsv1.Deployment) int32 {
	surge, _ := bounds(d)
	return fits(int64(replicasOf(d)) + int64(surge))
}

// fits is n as far as a number of pods can go: sizes add up beyond that, and must not wrap round.
func fits(n int64) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

func total(sets []*appsv1.ReplicaSet, of func(*appsv1.ReplicaSet) int32) int64 {
	var n int64
	for _, s := range sets {
		if s != nil {
			n += int64(of(s))
		}
	}
	return n
}

// available never counts pods that are about to go.
func available(s *appsv1.ReplicaSet) int32 { return min(s.Status.AvailableReplicas, sizeOf(s)) }

// reported: what the set says of itself was said after its size was last changed. Until then a set that
// was shrunk and grown again may still count pods that are going.
func reported(s *appsv1.ReplicaSet) bool { return s.Status.ObservedGeneration >= s.Generation }

func reportedAvailable(s *appsv1.ReplicaSet) int32 { return s.Status.AvailableReplicas }

func actual(s *appsv1.ReplicaSet) int32 { return s.Status.Replicas }
func ready(s *appsv1.ReplicaSet) int32  { return s.Status.ReadyReplicas }

func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var out []*appsv1.ReplicaSet
	for _, s := range sets {
		if s != nil && sizeOf(s) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// byAge sorts the oldest first; sets of one moment by name.
func byAge(a, b *appsv1.ReplicaSet) int {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return cmp.Compare(a.Name, b.Name)
	}
	if a.CreationTimestamp.Before(&b.CreationTimestamp) {
		return -1
	}
	return 1
}

// split finds the set with the deployment's template: the oldest, when several have it.
func split(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (current *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) {
	sorted := slices.SortedFunc(slices.Values(sets), byAge)
	for _, s := range sorted {
		if current == nil && sameTemplate(&s.Spec.Template, &d.Spec.Template) {
			current = s
			continue
		}
		old = append(old, s)
	}
	return current, old
}

func ownerRef(d *appsv1.Deployment) metav1.OwnerReference {
	return *metav1.NewControllerRef(d, gvk)
}
