// Package snapshot is the scheduler's picture of the cluster: nodes, the pods on
// them (placed or assumed), and counters of pods by topology.
//
// Contract: a Model belongs to one goroutine and is changed only between
// scheduling cycles, so that within a cycle it is an immutable snapshot without
// being copied. Every change costs the node and the counters it touches.
package snapshot

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/framework"
)

var _ framework.Cluster = (*Model)(nil)

// Model implements framework.Cluster.
type Model struct {
	nodes    []*framework.Node
	index    map[string]int // node name → position in nodes
	pods     map[types.UID]placed
	homeless map[string]map[types.UID]*framework.Pod // by the name of a node that is not known
	anti     map[*framework.Pod]bool
	antiList []*framework.Pod // of anti, nil when it has to be made again
	counters counters
}

type placed struct {
	pod  *framework.Pod
	node string
}

// New returns an empty model.
func New() *Model {
	return &Model{
		index: map[string]int{}, pods: map[types.UID]placed{}, homeless: map[string]map[types.UID]*framework.Pod{},
		anti: map[*framework.Pod]bool{}, counters: newCounters(),
	}
}

// Nodes in a stable order; callers must not change the slice.
func (m *Model) Nodes() []*framework.Node { return m.nodes }

// Node by name, or nil.
func (m *Model) Node(name string) *framework.Node {
	if i, ok := m.index[name]; ok {
		return m.nodes[i]
	}
	return nil
}

// NodeOf is where a placed pod is, or nil.
func (m *Model) NodeOf(p *framework.Pod) *framework.Node { return p.Node }

// Pod returns the placed pod with that uid and its node's name.
func (m *Model) Pod(uid types.UID) (p *framework.Pod, node string, ok bool) {
	e, ok := m.pods[uid]
	return e.pod, e.node, ok
}

// SetNode adds a node or takes its newer state.
func (m *Model) SetNode(n *corev1.Node) {
	if have := m.Node(n.Name); have != nil {
		if !sameLabels(have.Labels, n.Labels) {
			m.counters.reset() // a node moved between topology domains
		}
		have.Set(n)
		return
	}
	node := framework.NewNode(n)
	m.index[n.Name] = len(m.nodes)
	m.nodes = append(m.nodes, node)
	for _, p := range m.homeless[n.Name] {
		m.settle(p, node)
	}
	delete(m.homeless, n.Name)
}

// RemoveNode forgets a node. Its pods stay known until they are removed.
func (m *Model) RemoveNode(name string) {
	i, ok := m.index[name]
	if !ok {
		return
	}
	node := m.nodes[i]
	for len(node.Pods) > 0 {
		p := node.Pods[len(node.Pods)-1]
		m.unsettle(p)
		m.wait(name, p)
	}
	last := len(m.nodes) - 1
	m.nodes[i] = m.nodes[last]
	m.index[m.nodes[i].Name] = i
	m.nodes[last] = nil
	m.nodes = m.nodes[:last]
	delete(m.index, name)
}

// Place puts a pod on a node, which need not be known yet, replacing an older
// state of the same pod.
func (m *Model) Place(p *framework.Pod, node string) {
	m.Remove(p.UID)
	m.pods[p.UID] = placed{p, node}
	if n := m.Node(node); n != nil {
		m.settle(p, n)
		return
	}
	m.wait(node, p)
}

// Remove forgets a placed pod and reports whether it was there.
func (m *Model) Remove(uid types.UID) bool {
	e, ok := m.pods[uid]
	if !ok {
		return false
	}
	delete(m.pods, uid)
	if e.pod.Node != nil {
		m.unsettle(e.pod)
		return true
	}
	delete(m.homeless[e.node], uid)
	if len(m.homeless[e.node]) == 0 {
		delete(m.homeless, e.node)
	}
	return true
}

// Count implements framework.Cluster.
func (m *Model) Count(q framework.CountQuery) *framework.Counts { return m.counters.get(q, m.nodes) }

// WithAntiAffinity implements framework.Cluster.
func (m *Model) WithAntiAffinity() []*framework.Pod {
	if m.antiList == nil && len(m.anti) > 0 {
		for p := range m.anti {
			m.antiList = append(m.antiList, p)
		}
	}
	return m.antiList
}

func (m *Model) settle(p *framework.Pod, n *framework.Node) {
	n.Add(p)
	m.counters.change(p, n, 1)
	if len(p.AntiAffinity) > 0 {
		m.anti[p] = true
		m.antiList = nil
	}
}

func (m *Model) unsettle(p *framework.Pod) {
	n := p.Node
	m.counters.change(p, n, -1)
	n.Remove(p)
	if m.anti[p] {
		delete(m.anti, p)
		m.antiList = nil
	}
}

func (m *Model) wait(node string, p *framework.Pod) {
	if m.homeless[node] == nil {
		m.homeless[node] = map[types.UID]*framework.Pod{}
	}
	m.homeless[node][p.UID] = p
}

func sameLabels(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// Lift takes a placed pod off its node for a while (preemption tries nodes
// without some pods); Return puts it back.
func (m *Model) Lift(p *framework.Pod) { m.unsettle(p) }

// Return undoes Lift.
func (m *Model) Return(p *framework.Pod, n *framework.Node) { m.settle(p, n) }
