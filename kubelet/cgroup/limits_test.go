package cgroup

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func list(words ...string) v1.ResourceList {
	l := v1.ResourceList{}
	for i := 0; i < len(words); i += 2 {
		l[v1.ResourceName(words[i])] = resource.MustParse(words[i+1])
	}
	return l
}

func container(requests, limits v1.ResourceList) v1.Container {
	return v1.Container{Resources: v1.ResourceRequirements{Requests: requests, Limits: limits}}
}

func podOf(uid types.UID, containers ...v1.Container) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}, Spec: v1.PodSpec{Containers: containers}}
}

func TestPodParent(t *testing.T) {
	some := list("cpu", "1", "memory", "1Gi")
	for _, x := range []struct {
		root string
		pod  *v1.Pod
		want string
	}{
		{"/", podOf("u", container(some, some)), "/kubepods/podu"},
		{"/", podOf("u", container(some, nil)), "/kubepods/burstable/podu"},
		{"/", podOf("u", container(nil, nil)), "/kubepods/besteffort/podu"},
		{"/", podOf("u", container(some, some), container(nil, nil)), "/kubepods/burstable/podu"},
		{"/own", podOf("u", container(nil, nil)), "/own/kubepods/besteffort/podu"},
	} {
		tree := &Tree{root: x.root}
		if got := tree.PodParent(x.pod); got != x.want {
			t.Errorf("%s, want %s", got, x.want)
		}
	}
}

func TestPodLimits(t *testing.T) {
	whole := podOf("u", container(nil, nil))
	whole.Spec.Resources = &v1.ResourceRequirements{Requests: list("cpu", "500m"), Limits: list("cpu", "1", "memory", "1Gi")}
	early := podOf("u", container(list("cpu", "100m"), list("cpu", "100m")))
	early.Spec.InitContainers = []v1.Container{container(list("cpu", "2"), list("cpu", "2"))}
	open := early.DeepCopy()
	open.Spec.InitContainers[0].Resources.Limits = nil
	costly := podOf("u", container(list("cpu", "1"), list("cpu", "1", "memory", "1Gi")))
	costly.Spec.Overhead = list("cpu", "250m", "memory", "64Mi")
	for _, x := range []struct {
		name string
		pod  *v1.Pod
		want Limits
	}{
		{"nothing asked", podOf("u", container(nil, nil)), Limits{CPUShares: 2}},
		{"sum of two", podOf("u", container(list("cpu", "1"), list("cpu", "2", "memory", "1Gi")), container(list("cpu", "500m"), list("cpu", "1", "memory", "1Gi"))),
			Limits{CPUShares: 1536, CPUQuota: 300000, Memory: 2 << 30}},
		{"one without a limit lifts that limit", podOf("u", container(nil, list("cpu", "2", "memory", "1Gi")), container(nil, list("memory", "1Gi"))),
			Limits{CPUShares: 2, Memory: 2 << 30}},
		{"the greater of init and run", early, Limits{CPUShares: 2048, CPUQuota: 200000}},
		{"an init container without a limit", open, Limits{CPUShares: 2048}},
		{"what the pod has as a whole", whole, Limits{CPUShares: 512, CPUQuota: 100000, Memory: 1 << 30}},
		{"with overhead", costly, Limits{CPUShares: 1280, CPUQuota: 125000, Memory: 1<<30 + 64<<20}},
	} {
		if got := PodLimits(x.pod); got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
	}
}

func TestBurstableShares(t *testing.T) {
	asks := container(list("cpu", "1"), nil)
	ended := podOf("ended", asks)
	ended.Status.Phase = v1.PodSucceeded
	exact := list("cpu", "1", "memory", "1Gi")
	got := BurstableShares([]*v1.Pod{podOf("a", asks), podOf("b", asks, asks), ended, podOf("guaranteed", container(exact, exact)), podOf("none", container(nil, nil))})
	if got != 3072 {
		t.Errorf("%d, want the three processors of the two that run", got)
	}
	if got := BurstableShares(nil); got != 2 {
		t.Errorf("%d without pods", got)
	}
}
