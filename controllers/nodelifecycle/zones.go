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
	nodes   int
	unwell  int
}

type zone struct {
	nodes  int
	unwell map[string]bool
	next   time.Time
}

// verdict is whether pods may be made to leave a node now. calm: no pods leave any node. after: when to
// ask again.
type verdict struct {
	leave, calm bool
	after       time.Duration
}

// refreshZones is how long a count is believed, and how often an unwell node asks.
const refreshZones = 5 * time.Second

func zoneOf(n *corev1.Node) string {
	return n.Labels[corev1.LabelTopologyRegion] + "/" + n.Labels[corev1.LabelTopologyZone]
}

// countLocked takes stock of all nodes.
func (z *zones) countLocked(nodes []*corev1.Node, now time.Time) {
	z.counted = now
	old := z.state
	z.state, z.nodes, z.unwell = map[string]*zone{}, 0, 0
	for _, n := range nodes {
		name := zoneOf(n)
		s := z.state[name]
		if s == nil {
			s = &zone{unwell: map[string]bool{}}
			if was := old[name]; was != nil {
				s.next = was.next
			}
			z.state[name] = s
		}
		s.nodes++
		z.nodes++
		if readiness(n) != corev1.ConditionTrue {
			z.fellLocked(s, n)
		}
	}
}

func (z *zones) fellLocked(s *zone, n *corev1.Node) {
	if !s.unwell[n.Name] {
		s.unwell[n.Name] = true
		z.unwell++
	}
}

// may asks for a node that is not well; nodes lists all, perhaps not yet with the news of this one.
func (z *zones) may(n *corev1.Node, nodes func() []*corev1.Node, now time.Time) verdict {
	z.mu.Lock()
	defer z.mu.Unlock()
	if now.Sub(z.counted) >= refreshZones {
		z.countLocked(nodes(), now)
	}
	later := verdict{after: refreshZones}
	s := z.state[zoneOf(n)]
	if s == nil {
		return later
	}
	z.fellLocked(s, n)
	if z.unwell >= z.nodes {
		return verdict{calm: true, after: refreshZones}
	}
	rate := z.rate
	ill := len(s.unwell)
	if ill < s.nodes && ill > 2 && float64(ill) >= unhealthyShare*float64(s.nodes) {
		if s.nodes <= largeZone {
			return later
		}
		rate *= slowFactor
	}
	if rate <= 0 || !wantsEviction(n) { // pods leave it already
		return later
	}
	if now.Before(s.next) {
		return verdict{after: s.next.Sub(now)}
	}
	s.next = now.Add(time.Duration(float64(time.Second) / rate))
	return verdict{leave: true, after: refreshZones}
}
