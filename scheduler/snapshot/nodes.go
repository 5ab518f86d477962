package snapshot

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/scheduler/framework"
)

// SetNode adds a node or takes its newer state.
func (m *Model) SetNode(n *corev1.Node) {
	have := m.Node(n.Name)
	if have == nil {
		m.addNode(framework.NewNode(n))
		return
	}
	m.countImages(have, -1)
	if old := have.Labels; sameLabels(old, n.Labels) {
		have.Set(n)
	} else {
		m.relabel(have, n)
	}
	m.countImages(have, 1)
}

// relabel moves a node between topology domains with all that is on it.
func (m *Model) relabel(have *framework.Node, n *corev1.Node) {
	m.countDomains(have, -1)
	for _, p := range have.Pods {
		m.counters.change(p, have, -1)
		m.terms.change(p, have, -1)
	}
	have.Set(n)
	for _, p := range have.Pods {
		m.counters.change(p, have, 1)
		m.terms.change(p, have, 1)
	}
	m.countDomains(have, 1)
}

func (m *Model) addNode(node *framework.Node) {
	m.index[node.Name] = len(m.nodes)
	m.nodes = append(m.nodes, node)
	m.countDomains(node, 1)
	m.countImages(node, 1)
	for _, p := range m.homeless[node.Name] {
		m.settle(p, node)
	}
	delete(m.homeless, node.Name)
}

// RemoveNode forgets a node. Its pods stay known until they are removed;
// nominations to it end.
func (m *Model) RemoveNode(name string) {
	i, ok := m.index[name]
	if !ok {
		return
	}
	node := m.nodes[i]
	for _, p := range slices.Clone(node.Nominated) {
		m.Denominate(p.UID)
	}
	for len(node.Pods) > 0 {
		p := node.Pods[len(node.Pods)-1]
		m.unsettle(p)
		m.wait(name, p)
	}
	m.countDomains(node, -1)
	m.countImages(node, -1)
	last := len(m.nodes) - 1
	m.nodes[i] = m.nodes[last]
	m.index[m.nodes[i].Name] = i
	m.nodes[last] = nil
	m.nodes = m.nodes[:last]
	delete(m.index, name)
}

// Domains implements framework.Cluster.
func (m *Model) Domains(key string) *framework.Domains {
	if d, ok := m.domains[key]; ok {
		return d
	}
	if len(m.domains) >= maxCounters {
		clear(m.domains)
	}
	d := &framework.Domains{ByValue: map[string]int{}}
	for _, n := range m.nodes {
		change(d, n, key, 1)
	}
	m.domains[key] = d
	return d
}

func (m *Model) countDomains(n *framework.Node, by int) {
	for key, d := range m.domains {
		change(d, n, key, by)
	}
}

func change(d *framework.Domains, n *framework.Node, key string, by int) {
	v, ok := n.Labels[key]
	if !ok {
		return
	}
	d.Total += by
	if d.ByValue[v] += by; d.ByValue[v] == 0 {
		delete(d.ByValue, v)
	}
}

// ImageNodes implements framework.Cluster.
func (m *Model) ImageNodes(image string) int { return m.images[image] }

func (m *Model) countImages(n *framework.Node, by int) {
	for name := range n.Images {
		if m.images[name] += by; m.images[name] == 0 {
			delete(m.images, name)
		}
	}
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
