package podworker

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Unplugged is told that a sandbox of a pod stands but has lost its network.
func (m *Manager) Unplugged(uid types.UID, sandbox string) {
	m.mu.Lock()
	w := m.workers[uid]
	m.mu.Unlock()
	if w != nil {
		w.change(func() {
			if w.view.Broken != sandbox && w.view.Stop == nil {
				w.view.Broken = sandbox
				w.tellPod(v1.EventTypeNormal, "SandboxChanged", sandboxChanged)
			}
		})
	}
}

// Networked lists the sandboxes that stand and were given a network of their own, by pod.
func (m *Manager) Networked() map[types.UID]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[types.UID]string{}
	for uid, w := range m.workers {
		w.mu.Lock()
		if sb := w.view.Runtime.ReadySandbox(); sb != nil && w.view.SetUp.Done && w.view.Stop == nil && !w.view.Pod.Spec.HostNetwork && sb.Network.GetIp() != "" {
			out[uid] = sb.Id
		}
		w.mu.Unlock()
	}
	return out
}
