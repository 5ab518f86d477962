package podworker

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/kubelet/cri"
)

// strayAge is longer than anything takes to be made: what the runtime has for so long, and no source claims, is what a
// kubelet or a runtime that was killed has left behind.
const strayAge = 5 * time.Minute

// Orphans takes down what the runtime has and no source claims. It is called once the sources are complete.
func (m *Manager) Orphans() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled = true
	for uid, rt := range m.known {
		m.takeDownLocked(uid, rt)
	}
	m.retryLocked()
}

// strayLocked takes down what two lists show that nobody claims, made long apart. The caller holds the lock.
func (m *Manager) strayLocked(has map[types.UID]*cri.Pod, now time.Time) {
	for uid := range m.known {
		if has[uid] == nil {
			delete(m.known, uid)
		}
	}
	for uid := range m.first {
		if m.known[uid] == nil {
			delete(m.first, uid)
		}
	}
	if !m.settled {
		return
	}
	for uid, rt := range m.known {
		switch first, seen := m.first[uid]; {
		case !seen:
			m.first[uid] = now
		case now.Sub(first) >= strayAge:
			delete(m.first, uid)
			m.takeDownLocked(uid, rt)
		}
	}
}

func (m *Manager) takeDownLocked(uid types.UID, rt *cri.Pod) {
	delete(m.known, uid)
	pod := orphan(rt)
	if pod == nil || m.workers[uid] != nil {
		return
	}
	m.d.Log.Info("taking down a pod that the API does not have", "pod", pod.Namespace+"/"+pod.Name, "uid", string(uid))
	w := newWorker(m.d, pod, rt)
	w.view.Stop = &Stop{Removed: true, Deadline: time.Now().Add(minGrace)}
	m.startLocked(w)
}

// orphan makes up the pod of what the runtime has, as far as its labels tell.
func orphan(rt *cri.Pod) *v1.Pod {
	var labels map[string]string
	if sb := rt.Sandbox(); sb != nil {
		labels = sb.Labels
	} else if len(rt.Containers) > 0 {
		labels = rt.Containers[0].Labels
	}
	id, ok := cri.IDOf(labels)
	if !ok {
		return nil
	}
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: id.Namespace, Name: id.Name, UID: types.UID(id.UID)}}
}
