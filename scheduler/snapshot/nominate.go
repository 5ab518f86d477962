package snapshot

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/framework"
)

// nomination is a pending pod for which room was made on a node.
type nomination struct {
	pod  *framework.Pod
	node *framework.Node
}

// Nominate notes that a pending pod shall go to a node; pods that are not more
// important may not take the room. A node that is not known ends the nomination.
func (m *Model) Nominate(p *framework.Pod, node string) {
	m.Denominate(p.UID)
	n := m.Node(node)
	if n == nil {
		return
	}
	n.Nominated = append(n.Nominated, p)
	m.nominated[p.UID] = nomination{p, n}
}

// Denominate ends a nomination and reports whether there was one.
func (m *Model) Denominate(uid types.UID) bool {
	e, ok := m.nominated[uid]
	if !ok {
		return false
	}
	delete(m.nominated, uid)
	if i := slices.Index(e.node.Nominated, e.pod); i >= 0 {
		e.node.Nominated = slices.Delete(e.node.Nominated, i, i+1)
	}
	return true
}

// NominatedNode is where room was made for a pending pod, or nil.
func (m *Model) NominatedNode(uid types.UID) *framework.Node { return m.nominated[uid].node }
