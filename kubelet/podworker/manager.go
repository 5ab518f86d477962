package podworker

import (
	"context"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/status"
)

// Admit says whether a pod may start beside those that are here; nil when it may.
type Admit func(pod *v1.Pod, here []*v1.Pod) *status.Final

// Manager has one worker for each pod.
type Manager struct {
	d     *Deps
	admit Admit
	ctx   context.Context

	mu      sync.Mutex
	workers map[types.UID]*Worker
	known   map[types.UID]*cri.Pod  // in the runtime, not yet claimed by a source
	first   map[types.UID]time.Time // when such a one was first seen
	settled bool                    // the sources are complete
	owner   map[string]types.UID    // by container and sandbox id
	wg      sync.WaitGroup
}

// NewManager returns a manager whose workers end with ctx.
func NewManager(ctx context.Context, d *Deps, admit Admit) *Manager {
	return &Manager{d: d, admit: admit, ctx: ctx, workers: map[types.UID]*Worker{}, known: map[types.UID]*cri.Pod{}, first: map[types.UID]time.Time{}, owner: map[string]types.UID{}}
}

// Wait returns when every worker has ended.
func (m *Manager) Wait() { m.wg.Wait() }

// Update is told of a pod that a source has, new or changed.
func (m *Manager) Update(pod *v1.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.workers[pod.UID]
	if w == nil {
		m.newLocked(pod)
	} else {
		m.updateLocked(w, pod)
	}
}

func (m *Manager) newLocked(pod *v1.Pod) {
	rt := m.known[pod.UID]
	delete(m.known, pod.UID)
	w := newWorker(m.d, resumed(pod), rt)
	got, size := m.allocateLocked(w, pod)
	w.view.Resize.Pending, w.view.Resize.Message = size.Pending, size.Message
	w.take(got)
	if rt == nil && w.view.Stop == nil && fresh(pod) {
		hold, never := m.judgeLocked(w, pod)
		w.hold(hold)
		w.refuse(never)
	}
	m.startLocked(w)
}

func (m *Manager) startLocked(w *Worker) {
	uid := w.view.Pod.UID
	m.workers[uid] = w
	w.freed = m.freed
	m.wg.Go(func() {
		w.run(m.ctx)
		m.mu.Lock()
		delete(m.workers, uid)
		for id, owner := range m.owner {
			if owner == uid {
				delete(m.owner, id)
			}
		}
		m.retryLocked()
		m.mu.Unlock()
		if m.ctx.Err() == nil {
			m.d.Statuses.Forget(uid)
		}
	})
}

// fresh tells whether a pod has never been started.
func fresh(pod *v1.Pod) bool {
	if pod.Status.Phase != v1.PodPending && pod.Status.Phase != "" {
		return false
	}
	begun := func(s v1.ContainerStatus) bool {
		return s.ContainerID != "" || s.LastTerminationState.Terminated != nil
	}
	return !slices.ContainsFunc(pod.Status.InitContainerStatuses, begun) && !slices.ContainsFunc(pod.Status.ContainerStatuses, begun)
}

// take makes pod the newest state of the worker's pod. The caller holds the lock, or the worker does not run yet.
func (w *Worker) take(pod *v1.Pod) {
	w.stale = w.stale || metaChanged(w.view.Pod, pod)
	w.view.Pod = pod
	if pod.DeletionTimestamp == nil {
		return
	}
	grace := minGrace
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		grace = max(grace, bounds.Seconds(*g))
	}
	s := Stop{Deleted: true, Deadline: time.Now().Add(grace)}
	if grace > minGrace && serving(pod) {
		s.Drain = time.Now().Add(drain)
	}
	w.stop(s)
}

// serving tells whether requests may be on their way to the pod.
func serving(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.PodReady && c.Status == v1.ConditionTrue
	})
}

// metaChanged tells whether what downward API volumes show has changed.
func metaChanged(a, b *v1.Pod) bool {
	differ := func(x, y map[string]string) bool {
		if len(x) != len(y) {
			return true
		}
		for k, v := range x {
			if o, ok := y[k]; !ok || o != v {
				return true
			}
		}
		return false
	}
	return a != b && (differ(a.Labels, b.Labels) || differ(a.Annotations, b.Annotations))
}

// stop has the pod stop, or stop sooner than it was going to.
func (w *Worker) stop(s Stop) {
	have := w.view.Stop
	if have == nil {
		w.view.Stop = &s
		return
	}
	merged := *have
	merged.Deleted = merged.Deleted || s.Deleted
	merged.Removed = merged.Removed || s.Removed
	if s.Deadline.Before(have.Deadline.Add(-time.Second)) {
		merged.Deadline, merged.Drain = s.Deadline, s.Drain
		w.view.Retry = nil
		for key, op := range w.view.Busy {
			if op == OpKill {
				w.cancels[key]() // decided anew, with less time
			}
		}
	}
	w.view.Stop = &merged
}

// Remove is told of a pod that its source does not have any more.
func (m *Manager) Remove(uid types.UID) {
	m.mu.Lock()
	w := m.workers[uid]
	m.mu.Unlock()
	if w != nil {
		w.change(func() {
			pod := w.view.Pod
			g := grace(pod, Container{FailedGrace: pod.DeletionGracePeriodSeconds})
			w.stop(Stop{Removed: true, Deadline: time.Now().Add(g)})
		})
	}
}

// Stop ends a pod that runs for a reason of the node's own, such as an eviction, and tells of it.
func (m *Manager) Stop(uid types.UID, final status.Final, grace time.Duration) {
	m.mu.Lock()
	w := m.workers[uid]
	m.mu.Unlock()
	if w == nil {
		return
	}
	w.change(func() {
		if w.view.Stop != nil {
			return
		}
		w.stop(Stop{Final: final, Deadline: time.Now().Add(grace)})
		w.tellPod(v1.EventTypeWarning, final.Reason, final.Message)
	})
}

// Pods lists the pods that use the node.
func (m *Manager) Pods() []*v1.Pod {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.activeLocked()
}

// Touch has pods bring their volumes up to date and try again what waits for an object.
func (m *Manager) Touch(uids []types.UID) {
	for _, uid := range uids {
		m.mu.Lock()
		w := m.workers[uid]
		m.mu.Unlock()
		if w == nil {
			continue
		}
		w.change(func() {
			w.stale = true
			w.view.SetUp.RetryAt = time.Time{}
			for name, c := range w.view.Containers {
				if c.Fault != nil && c.Fault.Reason == "CreateContainerConfigError" {
					f := *c.Fault
					f.RetryAt = time.Time{}
					c.Fault = &f
					w.view.Containers[name] = c
				}
			}
		})
	}
}

// Event takes in a runtime event.
func (m *Manager) Event(ev *runtimeapi.ContainerEventResponse) {
	if w := m.workerOf(ev); w != nil && !w.event(ev) {
		w.poke()
	}
}

// workerOf is whom an event concerns; what it tells of a pod that nobody has claimed is taken in.
func (m *Manager) workerOf(ev *runtimeapi.ContainerEventResponse) *Worker {
	m.mu.Lock()
	defer m.mu.Unlock()
	uid, ok := m.owner[ev.ContainerId]
	if sb := ev.PodSandboxStatus; sb != nil {
		if id, labelled := cri.IDOf(sb.Labels); labelled {
			uid, ok = types.UID(id.UID), true
			if m.workers[uid] != nil || m.known[uid] != nil { // others are forgotten, or never were ours
				m.owner[ev.ContainerId], m.owner[sb.Id] = uid, uid
			}
		}
	}
	if !ok {
		return nil
	}
	w, rt := m.workers[uid], m.known[uid]
	if w == nil && rt != nil {
		rt.Merge(ev.PodSandboxStatus, ev.ContainersStatuses...)
	}
	return w
}

// event takes in what the runtime tells, and reports whether that was expected.
func (w *Worker) event(ev *runtimeapi.ContainerEventResponse) (quiet bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.merge(ev.PodSandboxStatus, ev.ContainersStatuses...)
	if ev.ContainerEventType == runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT {
		w.view.Runtime.RemoveContainer(ev.ContainerId)
		w.view.Runtime.RemoveSandbox(ev.ContainerId)
	}
	return w.expected(ev)
}

// expected tells whether an event only repeats what an action that is under way will report in a moment.
// The caller holds the lock.
func (w *Worker) expected(ev *runtimeapi.ContainerEventResponse) bool {
	switch ev.ContainerEventType {
	case runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT:
	default:
		return false
	}
	if ev.PodSandboxStatus.GetId() == ev.ContainerId {
		return w.view.Busy[PodKey] == OpSetUp
	}
	for _, c := range ev.ContainersStatuses {
		if c.Id == ev.ContainerId {
			return w.view.Busy[c.Metadata.GetName()] == OpStart
		}
	}
	return false
}

// Relist takes in everything the runtime has. since is when the list was asked for: what is younger is left alone.
func (m *Manager) Relist(pods map[cri.ID]*cri.Pod, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[types.UID]*cri.Pod{}
	for id, p := range pods {
		uid := types.UID(id.UID)
		seen[uid] = p
		for _, c := range p.Containers {
			m.owner[c.Id] = uid
		}
		for _, s := range p.Sandboxes {
			m.owner[s.Id] = uid
		}
		if m.workers[uid] == nil {
			m.known[uid] = p
		}
	}
	m.strayLocked(seen, since)
	for uid, w := range m.workers {
		p := seen[uid]
		if p == nil {
			p = &cri.Pod{}
		}
		w.change(func() { w.relist(p, since) })
	}
}

func (w *Worker) relist(p *cri.Pod, since time.Time) {
	w.recovered()
	for _, sb := range p.Sandboxes {
		w.merge(sb)
	}
	w.merge(nil, p.Containers...)
	has := map[string]bool{}
	for _, c := range p.Containers {
		has[c.Id] = true
	}
	for _, s := range p.Sandboxes {
		has[s.Id] = true
	}
	for _, c := range w.view.Runtime.Clone().Containers {
		if !has[c.Id] && c.CreatedAt < since.UnixNano() {
			w.view.Runtime.RemoveContainer(c.Id)
		}
	}
	for _, s := range w.view.Runtime.Clone().Sandboxes {
		if !has[s.Id] && s.CreatedAt < since.UnixNano() {
			w.view.Runtime.RemoveSandbox(s.Id)
		}
	}
}

// Has tells whether a pod has a worker.
func (m *Manager) Has(uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workers[uid] != nil
}

// Knows tells whether a pod has a worker, or something in the runtime.
func (m *Manager) Knows(uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.workers[uid] != nil || m.known[uid] != nil
}

// State is one pod as the kubelet's own endpoints show it.
type State struct {
	Pod     *v1.Pod // with the newest status
	Runtime cri.Pod
}

// States lists all pods.
func (m *Manager) States() []State {
	m.mu.Lock()
	ws := make([]*Worker, 0, len(m.workers))
	for _, w := range m.workers {
		ws = append(ws, w)
	}
	m.mu.Unlock()
	out := make([]State, 0, len(ws))
	for _, w := range ws {
		pod, rt, _ := w.snapshot()
		out = append(out, State{Pod: basis(pod, m.d.Statuses.Last(pod.UID)), Runtime: rt})
	}
	return out
}

// Find returns a pod by its name, or by its uid if that is given.
func (m *Manager) Find(namespace, name string, uid types.UID) (State, bool) {
	for _, s := range m.States() {
		if uid != "" && s.Pod.UID != uid {
			continue
		}
		if s.Pod.Namespace == namespace && s.Pod.Name == name {
			return s, true
		}
	}
	return State{}, false
}
