package nodelifecycle

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	unhealthyShare = 0.55 // of a zone's nodes: from there on the zone is what is ill
	largeZone      = 50   // nodes; in a smaller ill zone no pod is made to leave
	slowFactor     = 0.1  // of the eviction rate, in a large ill zone
)

// zones limit how fast pods are made to leave nodes: one node after the other in each zone, slower
// when a large part of the zone is unwell, not at all when everything is: then the fault is more likely
// here than there.
type zones struct {
	rate float64 // nodes a second

	mu      sync.Mutex
	counted time.Time
	state   map[string]*zone
	calm    bool
}

type zone struct {
	nodes, unwell int
	next          time.Time
}

// refreshZones is how long a count is believed.
const refreshZones = 5 * time.Second

func zoneOf(n *corev1.Node) string {
	return n.Labels[corev1.LabelTopologyRegion] + "/" + n.Labels[corev1.LabelTopologyZone]
}

// countLocked takes stock of all nodes.
func (z *zones) countLocked(nodes []*corev1.Node, now time.Time) {
	if now.Sub(z.counted) < refreshZones {
		return
	}
	z.counted = now
	next := map[string]*zone{}
	ready := 0
	for _, n := range nodes {
		s := next[zoneOf(n)]
		if s == nil {
			s = &zone{}
			if old := z.state[zoneOf(n)]; old != nil {
				s.next = old.next
			}
			next[zoneOf(n)] = s
		}
		s.nodes++
		if readiness(n) != corev1.ConditionTrue {
			s.unwell++
		} else {
			ready++
		}
	}
	z.state = next
	z.calm = len(nodes) > 0 && ready == 0
}

// may asks whether pods may be made to leave n now, and if not, when to ask again. calm: no pods leave
// any node.
func (z *zones) may(n *corev1.Node, nodes func() []*corev1.Node, now time.Time) (ok, calm bool, after time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if now.Sub(z.counted) >= refreshZones {
		z.countLocked(nodes(), now)
	}
	if z.calm {
		return false, true, refreshZones
	}
	s := z.state[zoneOf(n)]
	if s == nil {
		return false, false, refreshZones
	}
	rate := z.rate
	if all := s.unwell == s.nodes; !all && s.unwell > 2 && float64(s.unwell) >= unhealthyShare*float64(s.nodes) {
		if s.nodes <= largeZone {
			return false, false, refreshZones
		}
		rate *= slowFactor
	}
	if rate <= 0 {
		return false, false, refreshZones
	}
	if now.Before(s.next) {
		return false, false, s.next.Sub(now)
	}
	s.next = now.Add(time.Duration(float64(time.Second) / rate))
	return true, false, 0
}
