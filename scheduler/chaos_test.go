package scheduler_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestChaos creates and removes pods and cordons nodes as it comes. No node may
// ever hold more than it has, and in the end no pod waits that would fit.
func TestChaos(t *testing.T) {
	c := start(t)
	const nodes, capacity = 6, 1000
	for i := range nodes {
		c.node(fmt.Sprintf("n%d", i), "1")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	alive := map[string]int64{}
	for i := range 250 {
		switch k := random.IntN(10); {
		case k < 6:
			name, cpu := fmt.Sprintf("p%d", i), int64(100*(1+random.IntN(6)))
			c.pod(name, fmt.Sprintf("%dm", cpu))
			alive[name] = cpu
		case k < 9 && len(alive) > 0:
			names := slices.Sorted(maps.Keys(alive))
			name := names[random.IntN(len(names))]
			c.remove(name)
			delete(alive, name)
		default:
			c.cordon(fmt.Sprintf("n%d", random.IntN(nodes)), random.IntN(2) == 0)
		}
		c.taken()
	}
	for i := range nodes {
		c.cordon(fmt.Sprintf("n%d", i), false)
	}
	limit := time.After(40 * time.Second)
	for !c.settled(alive, nodes, capacity) {
		select {
		case e := <-c.pods.ResultChan():
			c.take(e)
		case <-limit:
			t.Fatal("pods wait although there is room for them")
		}
	}
}

// settled reports whether the watch has told of every pod and none that waits
// would fit.
func (c *cluster) settled(alive map[string]int64, nodes int, capacity int64) bool {
	c.Helper()
	used := map[string]int64{}
	for _, p := range c.latest {
		if p.Spec.NodeName != "" {
			used[p.Spec.NodeName] += p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
		}
	}
	// The watch is in order, so what it shows was the state of all at some time.
	for n, u := range used {
		if u > capacity {
			c.Fatalf("%s holds %dm", n, u)
		}
	}
	if len(c.latest) != len(alive) {
		return false
	}
	free := int64(0)
	for i := range nodes {
		free = max(free, capacity-used[fmt.Sprintf("n%d", i)])
	}
	for name, cpu := range alive {
		p := c.latest[name]
		if p == nil || p.Spec.NodeName == "" && cpu <= free {
			return false
		}
	}
	return true
}

func (c *cluster) cordon(name string, yes bool) {
	c.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%v}}`, yes)
	if _, err := c.kube.CoreV1().Nodes().Patch(c.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		c.Fatal(err)
	}
}
