package scheduler

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/supervise"
	"hyperkube/kit"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/queue"
	"hyperkube/scheduler/snapshot"
)

// takeChanges brings the model and the queue up to date.
func (s *Scheduler) takeChanges() {
	c, ok := s.inbox.take()
	var woke framework.Event
	if ok {
		for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
			woke |= s.nodeChanged(name, c.nodes[name])
		}
		if c.notes&noteNamespaces != 0 {
			s.namespacesChanged()
			woke |= framework.NodeChanged | framework.PodPlaced
		}
		for _, uid := range c.order {
			woke |= s.contained(uid, c.pods[uid])
		}
		for _, uid := range c.made {
			delete(s.making, uid)
		}
		for _, f := range c.fails {
			woke |= s.unbind(f)
		}
		if c.notes&noteStorage != 0 {
			woke |= framework.StorageChanged
		}
		if c.notes&noteDevices != 0 {
			woke |= framework.DeviceChanged
		}
	}
	s.wake(woke)
}

// contained takes a pod's newer state. One that cannot be understood is left out, and told: the
// others must get their nodes.
func (s *Scheduler) contained(uid types.UID, p *corev1.Pod) (e framework.Event) {
	err := supervise.Contain("scheduler", func() error { e = s.podChanged(uid, p); return nil })
	if err != nil {
		s.panicked(err, "uid", uid)
	}
	return e
}

// tellPlaced is how many pods are placed, while others are waiting for their turn, before those are
// woken that may want to be near to them.
const tellPlaced = 256

// names of the events in metrics.
var eventNames = [...]struct {
	event framework.Event
	name  string
}{
	{framework.NodeAdded, "NodeAdd"}, {framework.NodeChanged, "NodeUpdate"}, {framework.PodGone, "AssignedPodDelete"},
	{framework.PodPlaced, "AssignedPodAdd"}, {framework.StorageChanged, "StorageChange"}, {framework.NominationGone, "NominationGone"},
	{framework.DeviceChanged, "ResourceClaimUpdate"},
}

func (s *Scheduler) wake(e framework.Event) {
	if s.placed >= tellPlaced || s.placed > 0 && s.queue.Idle() {
		e |= framework.PodPlaced
	}
	if e == 0 {
		return
	}
	if e&framework.PodPlaced != 0 {
		s.placed = 0
	}
	for _, n := range eventNames {
		if e&n.event != 0 {
			s.queue.Wake(n.event, n.name)
		}
	}
}

func (s *Scheduler) nodeChanged(name string, n *corev1.Node) framework.Event {
	have := s.model.Node(name)
	if n == nil {
		s.model.RemoveNode(name)
		return framework.NodeChanged // fewer domains may ease a spread
	}
	var e framework.Event
	switch {
	case have == nil:
		e = framework.NodeAdded
	case matters(have.Node, n):
		e = framework.NodeChanged
	}
	s.model.SetNode(n)
	return e
}

// matters reports whether a node's change may let a pod in that was refused.
// Heartbeats and image lists do not.
func matters(old, n *corev1.Node) bool {
	return old.Spec.Unschedulable != n.Spec.Unschedulable ||
		!equality.Semantic.DeepEqual(old.Spec.Taints, n.Spec.Taints) ||
		!equality.Semantic.DeepEqual(old.Labels, n.Labels) ||
		!equality.Semantic.DeepEqual(old.Status.Allocatable, n.Status.Allocatable)
}

func (s *Scheduler) podChanged(uid types.UID, p *corev1.Pod) framework.Event {
	switch {
	case p == nil || over(p):
		e := s.forget(uid)
		if s.model.Remove(uid) {
			e |= framework.PodGone
		}
		return e
	case p.Spec.NodeName != "":
		return s.forget(uid) | s.hasNode(p)
	case s.profiles[p.Spec.SchedulerName] == nil:
		return 0
	case p.DeletionTimestamp != nil:
		return s.forget(uid)
	case len(p.Spec.SchedulingGates) > 0:
		s.gated[uid] = true
		s.metrics.gated.Set(float64(len(s.gated)))
		return 0
	}
	if _, assumed := s.model.Pod(uid); assumed {
		return 0 // its binding is under way
	}
	return s.pending(p)
}

// forget drops what was known of a pod as one that waits.
func (s *Scheduler) forget(uid types.UID) framework.Event {
	s.queue.Remove(uid)
	s.ungate(uid)
	if s.model.Denominate(uid) {
		return framework.NominationGone
	}
	return 0
}

func (s *Scheduler) ungate(uid types.UID) {
	if s.gated[uid] {
		delete(s.gated, uid)
		s.metrics.gated.Set(float64(len(s.gated)))
	}
}

// pending takes the newer state of a pod that waits for a node.
func (s *Scheduler) pending(p *corev1.Pod) framework.Event {
	s.ungate(p.UID)
	it, queued := s.queue.Get(p.UID)
	nominated := ""
	if queued {
		nominated = it.Pod.Status.NominatedNodeName
	}
	c := (*framework.Pod)(nil)
	if queued && sameWish(it.Pod.Pod, p) {
		c = it.Pod
		c.Pod = p
	} else {
		c = s.compile(p)
		s.queue.Put(c)
		if n := s.model.NominatedNode(p.UID); n != nil {
			s.model.Nominate(c, n.Name)
		}
	}
	switch {
	case p.Status.NominatedNodeName == nominated:
	case p.Status.NominatedNodeName != "":
		s.model.Nominate(c, p.Status.NominatedNodeName)
	case s.model.Denominate(p.UID):
		return framework.NominationGone
	}
	return 0
}

// compile never fails for a pod that validation let in; one with a bad selector
// is treated as if it had none.
func (s *Scheduler) compile(p *corev1.Pod) *framework.Pod {
	c, err := framework.Compile(p, s.namespacesMatching)
	if err != nil {
		s.o.Logger.Error("pod has an invalid affinity, going on without", "pod", kit.KeyOf(p), "err", err)
	}
	return c
}

// sameWish reports whether scheduling may answer only the same to the newer state of
// a pending pod. What changes in status is mostly our own doing.
func sameWish(old, p *corev1.Pod) bool {
	// The names of claims made for the pod are part of what it asks for.
	if !equality.Semantic.DeepEqual(old.Status.ResourceClaimStatuses, p.Status.ResourceClaimStatuses) {
		return false
	}
	return old.Generation == p.Generation && old.Generation != 0 && maps.Equal(old.Labels, p.Labels) ||
		maps.Equal(old.Labels, p.Labels) && equality.Semantic.DeepEqual(&old.Spec, &p.Spec)
}

// hasNode takes the newer state of a pod that has a node.
func (s *Scheduler) hasNode(p *corev1.Pod) framework.Event {
	have, known := s.model.Pod(p.UID)
	if known && have.Node == p.Spec.NodeName && sameLoad(have.Pod, p) {
		s.model.Confirm(p)
		return 0
	}
	e := framework.PodPlaced
	if known && (have.Node != p.Spec.NodeName || !have.Pod.SameRequest(p) || p.DeletionTimestamp != nil) {
		e |= framework.PodGone // it may ask for less now, or count no more
	}
	s.model.Place(s.compile(p), p.Spec.NodeName)
	return e
}

// sameLoad reports whether a pod's newer state weighs the same on its node.
func sameLoad(old *framework.Pod, p *corev1.Pod) bool {
	return (old.DeletionTimestamp == nil) == (p.DeletionTimestamp == nil) && maps.Equal(old.Labels, p.Labels) && old.SameRequest(p)
}

func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// namespacesChanged compiles those pods again whose terms select namespaces.
func (s *Scheduler) namespacesChanged() {
	var again []snapshot.Placed
	s.model.Each(func(e snapshot.Placed) {
		if e.Pod.NamespaceSelectors {
			again = append(again, e)
		}
	})
	for _, e := range again {
		if c := s.compile(e.Pod.Pod); e.Assumed {
			s.model.Assume(c, e.Node)
		} else {
			s.model.Place(c, e.Node)
		}
	}
	var waiting []*corev1.Pod
	s.queue.Each(func(it *queue.Item) {
		if _, assumed := s.model.Pod(it.Pod.UID); it.Pod.NamespaceSelectors && !assumed {
			waiting = append(waiting, it.Pod.Pod)
		}
	})
	for _, p := range waiting {
		c := s.compile(p)
		s.queue.Put(c)
		if n := s.model.NominatedNode(p.UID); n != nil {
			s.model.Nominate(c, n.Name)
		}
	}
}
