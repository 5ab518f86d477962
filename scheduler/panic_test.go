package scheduler_test

import (
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/scheduler"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/plugins"
)

// fragile panics over pods whose name begins with bad, while it is broken.
type fragile struct{ broken *atomic.Bool }

func (fragile) Name() string                                                 { return "Fragile" }
func (fragile) Weight() int64                                                { return 1 }
func (f fragile) Filter(*framework.Cycle, *framework.Node) framework.Verdict { return framework.Fit() }
func (f fragile) Score(c *framework.Cycle, _ *framework.Node) int64 {
	if f.broken.Load() && strings.HasPrefix(c.Pod.Name, "bad") {
		panic("cannot judge " + c.Pod.Name)
	}
	return 0
}

// TestAPodThatCannotBeJudged fails by itself: the others get their nodes, what nodes hold is counted
// right, and it is tried again.
func TestAPodThatCannotBeJudged(t *testing.T) {
	broken := &atomic.Bool{}
	broken.Store(true)
	c := startWith(t, func(c *cluster) {
		c.profiles = []scheduler.Profile{{Name: corev1.DefaultSchedulerName, Plugins: append(plugins.All(), fragile{broken})}}
	})
	c.node("n1", "1")
	c.node("n2", "1")
	c.pod("first", "600m")
	c.bound("first", "")
	c.pod("bad", "100m")
	c.pod("second", "600m")
	p := c.bound("second", "")
	if p.Spec.NodeName == c.latest["first"].Spec.NodeName {
		t.Error("a node holds more than it has")
	}
	c.pod("third", "600m")
	c.refused("third", "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.")
	broken.Store(false)
	c.bound("bad", "")
}
