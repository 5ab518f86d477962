package podworker

import (
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/admit"
	"hyperkube/kubelet/status"
)

// claim is what a pod has of the node: room for its requests, ports, a place among the pods.
type claim int

const (
	stays claim = iota // it runs, or will
	goes               // it ends, and still has something
	none               // it has ended, or was refused; its object may stay for long
)

// claimOf is pure. What a pod requests is free when its containers have ended; ports may be bound to its sandbox.
func claimOf(v View) claim {
	ending := v.Stop != nil || v.Pod.Status.Phase == v1.PodSucceeded || v.Pod.Status.Phase == v1.PodFailed || finished(v)
	switch {
	case !ending:
		return stays
	case anyRunning(v):
		return goes
	case admit.HasHostPorts(v.Pod) && (v.Runtime.ReadySandbox() != nil || v.Busy[PodKey] == OpSetUp):
		return goes
	}
	return none
}

// othersLocked lists the pods beside w, by what they have of the node. The caller holds the manager's lock.
func (m *Manager) othersLocked(w *Worker) (staying, going []*v1.Pod) {
	for _, o := range m.workers {
		if o == w {
			continue
		}
		switch pod, c := o.claim(); c {
		case stays:
			staying = append(staying, pod)
		case goes:
			going = append(going, pod)
		}
	}
	return staying, going
}

func (w *Worker) claim() (*v1.Pod, claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Pod, claimOf(w.view)
}

// activeLocked lists pods that use the node.
func (m *Manager) activeLocked() []*v1.Pod {
	staying, going := m.othersLocked(nil)
	return append(staying, going...)
}

// judgeLocked says whether a pod that has not begun may: now, when others that are going have gone (hold says which),
// or never.
func (m *Manager) judgeLocked(w *Worker, pod *v1.Pod) (hold string, never *status.Final) {
	staying, going := m.othersLocked(w)
	if final := m.admit(pod, staying); final != nil {
		return "", final
	}
	if m.replacesLocked(w, pod) {
		return "the pod that had its name is still being taken away", nil
	}
	if len(going) > 0 {
		if final := m.admit(pod, append(staying, going...)); final != nil {
			return "pods that are ending still have what it needs: " + strings.TrimPrefix(final.Message, "Pod was rejected: "), nil
		}
	}
	return "", nil
}

// replacesLocked tells whether an earlier pod of that name is still being taken away.
func (m *Manager) replacesLocked(w *Worker, pod *v1.Pod) bool {
	for _, o := range m.workers {
		if o == w || o.self.Namespace != pod.Namespace || o.self.Name != pod.Name {
			continue
		}
		if o.leaving() {
			return true
		}
	}
	for uid, rt := range m.known { // until the sources are complete: an earlier kubelet's, about to be taken down
		if o := orphan(rt); !m.settled && o != nil && uid != pod.UID && o.Namespace == pod.Namespace && o.Name == pod.Name {
			return true
		}
	}
	return false
}

// freed is told that a pod has left the node to others.
func (m *Manager) freed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retryLocked()
}

// retryLocked lets those begin that waited, the oldest first, and tries again the sizes that did not fit, now that
// something has gone.
func (m *Manager) retryLocked() {
	var held []*Worker
	for _, w := range m.workers {
		if w.asked != nil {
			m.updateLocked(w, w.asked)
		}
		if w.held() {
			held = append(held, w)
		}
	}
	slices.SortFunc(held, func(a, b *Worker) int { return a.seen.Compare(b.seen) })
	for _, w := range held {
		pod, _, _ := w.snapshot()
		hold, never := m.judgeLocked(w, pod)
		if hold != "" {
			continue
		}
		w.change(func() {
			w.view.Held = false
			w.refuse(never)
		})
	}
}

// leaving tells whether a pod is being taken away and not yet down.
func (w *Worker) leaving() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Stop != nil && (w.view.Stop.Removed || w.view.Stop.Deleted) && !w.view.Down
}

func (w *Worker) held() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Held && w.view.Stop == nil
}

// hold keeps a pod from beginning, and says why. The worker does not run yet.
func (w *Worker) hold(why string) {
	if why != "" {
		w.view.Held = true
		w.tellPod(v1.EventTypeWarning, "FailedSync", "error syncing pod, waiting: "+why)
	}
}

// refuse ends a pod before it has begun; final is nil when it may begin. The caller holds the lock, or the
// worker does not run yet.
func (w *Worker) refuse(final *status.Final) {
	if final == nil || w.view.Stop != nil {
		return
	}
	f := *final
	f.Refused = true
	w.view.Stop = &Stop{Final: f, Deadline: time.Now()}
	w.tellPod(v1.EventTypeWarning, f.Reason, f.Message)
}
