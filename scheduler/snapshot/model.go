// Package snapshot is the scheduler's picture of the cluster: nodes, the pods on
// them (placed or assumed), the pods that wait for room made for them, and
// counters of pods by topology.
//
//	pending ──Assume──▶ assumed ──Place or Confirm──▶ placed ──Remove──▶ gone
//	   └─Nominate─▶ keeps room on its node until it is placed, forgotten or outranked
//
// Contract: a Model belongs to one goroutine and is changed only between
// scheduling cycles, so that within a cycle it is an immutable snapshot without
// being copied. (A decision may Return pods to nodes and Lift them off to try
// something, if it leaves them as they were.) Every change costs the node, the
// counters and the terms it touches.
package snapshot

import (
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/framework"
)

var _ framework.Cluster = (*Model)(nil)

// Model implements framework.Cluster.
type Model struct {
	nodes      []*framework.Node
	index      map[string]int // node name → position in nodes
	pods       map[types.UID]Placed
	homeless   map[string]map[types.UID]*framework.Pod // by the name of a node that is not known
	priorities map[int32]int                           // pods on known nodes
	nominated  map[types.UID]nomination
	namespaces map[string]podSet // pods on known nodes
	counters   counters
	terms      terms
	domains    map[string]*framework.Domains
	images     map[string]int
	storage    framework.Storage
}

type podSet map[*framework.Pod]struct{}

// Placed is a pod that has a node.
type Placed struct {
	Pod  *framework.Pod
	Node string
	// Assumed until the API confirms it.
	Assumed bool
}

// New returns an empty model. storage may be nil: no claims exist then.
func New(storage framework.Storage) *Model {
	if storage == nil {
		storage = noStorage{}
	}
	return &Model{
		index: map[string]int{}, pods: map[types.UID]Placed{}, homeless: map[string]map[types.UID]*framework.Pod{},
		priorities: map[int32]int{}, nominated: map[types.UID]nomination{}, namespaces: map[string]podSet{}, counters: newCounters(), terms: newTerms(),
		domains: map[string]*framework.Domains{}, images: map[string]int{}, storage: storage,
	}
}

// Nodes in a stable order; callers must not change the slice.
func (m *Model) Nodes() []*framework.Node { return m.nodes }

// Storage implements framework.Cluster.
func (m *Model) Storage() framework.Storage { return m.storage }

// Node by name, or nil.
func (m *Model) Node(name string) *framework.Node {
	if i, ok := m.index[name]; ok {
		return m.nodes[i]
	}
	return nil
}

// Pod returns the placed or assumed pod with that uid.
func (m *Model) Pod(uid types.UID) (Placed, bool) {
	e, ok := m.pods[uid]
	return e, ok
}

// Pods is how many pods have a node, and how many of them are only assumed to.
func (m *Model) Pods() (all, assumed int) {
	for _, e := range m.pods {
		if e.Assumed {
			assumed++
		}
	}
	return len(m.pods), assumed
}

// Each calls f with every pod that has a node; f must not change the model.
func (m *Model) Each(f func(Placed)) {
	for _, e := range m.pods {
		f(e)
	}
}

// Assume puts a pod on a node before the API knows.
func (m *Model) Assume(p *framework.Pod, node string) { m.put(Placed{p, node, true}) }

// Place puts a pod on a node, which need not be known yet, replacing an older
// state of the same pod.
func (m *Model) Place(p *framework.Pod, node string) { m.put(Placed{p, node, false}) }

// Confirm takes a newer state of a pod on its node, which must weigh the same.
func (m *Model) Confirm(newer *corev1.Pod) {
	if e, ok := m.pods[newer.UID]; ok {
		e.Pod.Pod, e.Assumed = newer, false
		m.pods[newer.UID] = e
	}
}

func (m *Model) put(e Placed) {
	m.Remove(e.Pod.UID)
	m.Denominate(e.Pod.UID)
	m.pods[e.Pod.UID] = e
	if n := m.Node(e.Node); n != nil {
		m.settle(e.Pod, n)
		return
	}
	m.wait(e.Node, e.Pod)
}

// Remove forgets a placed pod and reports whether it was there.
func (m *Model) Remove(uid types.UID) bool {
	e, ok := m.pods[uid]
	if !ok {
		return false
	}
	delete(m.pods, uid)
	if e.Pod.Node != nil {
		m.unsettle(e.Pod)
		return true
	}
	delete(m.homeless[e.Node], uid)
	if len(m.homeless[e.Node]) == 0 {
		delete(m.homeless, e.Node)
	}
	return true
}

// Count implements framework.Cluster.
func (m *Model) Count(q framework.CountQuery) *framework.Counts {
	return m.counters.get(q, m.namespaces)
}

// Held implements framework.Cluster.
func (m *Model) Held() []*framework.HeldTerm { return m.terms.list }

// HasLower reports whether a pod of lower priority is on some node.
func (m *Model) HasLower(priority int32) bool {
	for p := range m.priorities {
		if p < priority {
			return true
		}
	}
	return false
}

// Lift takes a pod off its node for a while; Return puts it back. Decisions use
// them to try a node without some pods, or with some more.
func (m *Model) Lift(p *framework.Pod) { m.unsettle(p) }

// Return undoes Lift.
func (m *Model) Return(p *framework.Pod, n *framework.Node) { m.settle(p, n) }

func (m *Model) settle(p *framework.Pod, n *framework.Node) {
	n.Add(p)
	m.priorities[p.Priority()]++
	if m.namespaces[p.Namespace] == nil {
		m.namespaces[p.Namespace] = podSet{}
	}
	m.namespaces[p.Namespace][p] = struct{}{}
	m.counters.change(p, n, 1)
	m.terms.change(p, n, 1)
}

func (m *Model) unsettle(p *framework.Pod) {
	n := p.Node
	if m.priorities[p.Priority()]--; m.priorities[p.Priority()] == 0 {
		delete(m.priorities, p.Priority())
	}
	delete(m.namespaces[p.Namespace], p)
	if len(m.namespaces[p.Namespace]) == 0 {
		delete(m.namespaces, p.Namespace)
	}
	m.counters.change(p, n, -1)
	m.terms.change(p, n, -1)
	n.Remove(p)
}

func (m *Model) wait(node string, p *framework.Pod) {
	if m.homeless[node] == nil {
		m.homeless[node] = map[types.UID]*framework.Pod{}
	}
	m.homeless[node][p.UID] = p
}

type noStorage struct{}

func (noStorage) Claim(_, _ string) *corev1.PersistentVolumeClaim { return nil }
func (noStorage) Volume(string) *corev1.PersistentVolume          { return nil }
func (noStorage) Delayed(string) bool                             { return false }
func (noStorage) Device(_, _ string) *resourcev1.ResourceClaim    { return nil }
