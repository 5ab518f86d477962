package cri

import (
	"math"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestCPU(t *testing.T) {
	for _, x := range []struct{ milli, shares, quota int64 }{
		{-1, 2, 0},
		{0, 2, 0},
		{1, 2, 1000}, // the kernel's least
		{10, 10, 1000},
		{100, 102, 10000},
		{1000, 1024, 100000},
		{2500, 2560, 250000},
		{256000, 262144, 25600000},
		{300000, 262144, 30000000},
		{999_999_999, 262144, 99999999900},
		{1_000_000_000, 262144, 0}, // nothing has so much: no limit
		{math.MaxInt64, 262144, 0},
	} {
		if s, q := CPUShares(x.milli), CPUQuota(x.milli); s != x.shares || q != x.quota {
			t.Errorf("%dm: %d shares, quota %d; want %d, %d", x.milli, s, q, x.shares, x.quota)
		}
	}
}

func words(pairs ...string) v1.ResourceList {
	l := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func TestOOMScoreAdj(t *testing.T) {
	const capacity = 8 << 30
	critical := int32(2000001000)
	for _, x := range []struct {
		name     string
		priority *int32
		requests v1.ResourceList
		limits   v1.ResourceList
		capacity int64
		want     int64
	}{
		{"nothing asked", nil, nil, nil, capacity, 1000},
		{"guaranteed", nil, words("cpu", "1", "memory", "1Gi"), words("cpu", "1", "memory", "1Gi"), capacity, -997},
		{"critical", &critical, nil, nil, capacity, -997},
		{"half the machine", nil, words("memory", "4Gi"), nil, capacity, 500},
		{"a little", nil, words("memory", "1Mi"), nil, capacity, 999},
		{"cpu only", nil, words("cpu", "1"), nil, capacity, 999},
		{"nearly all", nil, words("memory", "8Gi"), nil, capacity, 3},
		{"more than any machine", nil, words("memory", "8000Pi"), nil, capacity, 3},
		{"unknown capacity", nil, words("memory", "1Gi"), nil, 0, 999},
	} {
		pod := &v1.Pod{Spec: v1.PodSpec{Priority: x.priority, Containers: []v1.Container{{
			Resources: v1.ResourceRequirements{Requests: x.requests, Limits: x.limits}}}}}
		if got := OOMScoreAdj(pod, &pod.Spec.Containers[0], x.capacity); got != x.want {
			t.Errorf("%s: %d, want %d", x.name, got, x.want)
		}
	}
}

// A request of nothing beside a limit is not what is limited: the API server says Burstable, and so must the node.
func TestQoSOfZeroRequest(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{
		Requests: words("cpu", "0", "memory", "1Gi"), Limits: words("cpu", "1", "memory", "1Gi")}}}}}
	if got := QoS(pod); got != v1.PodQOSBurstable {
		t.Errorf("class %s", got)
	}
	pod.Status.QOSClass = v1.PodQOSGuaranteed
	if got := QoS(pod); got != v1.PodQOSGuaranteed {
		t.Errorf("the class that was given is %s", got)
	}
}
