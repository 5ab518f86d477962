package scheduler

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/kit"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/queue"
)

// inbox holds what informers told since the loop last looked: the newest state
// of each pod and node, so it never grows beyond the number of objects.
type inbox struct {
	mu    sync.Mutex
	pods  map[types.UID]podChange
	order []types.UID // pods in the order they first changed: first come, first served
	nodes map[string]*corev1.Node
	fails []failure // refused bindings, at most one per binder
	ready chan struct{}
}

// failure is a binding that the API refused.
type failure struct {
	item *queue.Item
	err  error
}

// podChange has a nil pod when it is gone.
type podChange struct{ pod *corev1.Pod }

func newInbox() *inbox {
	return &inbox{pods: map[types.UID]podChange{}, nodes: map[string]*corev1.Node{}, ready: make(chan struct{}, 1)}
}

func (b *inbox) pod(uid types.UID, p *corev1.Pod) {
	b.mu.Lock()
	if _, ok := b.pods[uid]; !ok {
		b.order = append(b.order, uid)
	}
	b.pods[uid] = podChange{p}
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) node(name string, n *corev1.Node) {
	b.mu.Lock()
	b.nodes[name] = n
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) failed(it *queue.Item, err error) {
	b.mu.Lock()
	b.fails = append(b.fails, failure{it, err})
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) takeFailures() []failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.fails
	b.fails = nil
	return out
}

func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

func (b *inbox) take() (order []types.UID, pods map[types.UID]podChange, nodes map[string]*corev1.Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) == 0 && len(b.nodes) == 0 {
		return nil, nil, nil
	}
	order, pods, nodes = b.order, b.pods, b.nodes
	b.order, b.pods, b.nodes = nil, map[types.UID]podChange{}, map[string]*corev1.Node{}
	return order, pods, nodes
}

// watch registers with the informers.
func (s *Scheduler) watch(f *kit.Informers) {
	s.pods = kit.InformerFor[*corev1.Pod](f, corev1.SchemeGroupVersion.WithResource("pods"))
	s.nodes = kit.InformerFor[*corev1.Node](f, corev1.SchemeGroupVersion.WithResource("nodes"))
	s.namespaces = kit.InformerFor[*corev1.Namespace](f, corev1.SchemeGroupVersion.WithResource("namespaces"))
	s.budgets.informer = kit.InformerFor[*policyv1.PodDisruptionBudget](f, policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"))
	s.pods.OnChange(kit.Handler[*corev1.Pod]{
		Add:    func(p *corev1.Pod, _ bool) { s.inbox.pod(p.UID, p) },
		Update: func(_, p *corev1.Pod) { s.inbox.pod(p.UID, p) },
		Delete: func(p *corev1.Pod) { s.inbox.pod(p.UID, nil) },
	})
	s.nodes.OnChange(kit.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node, _ bool) { s.inbox.node(n.Name, n) },
		Update: func(_, n *corev1.Node) { s.inbox.node(n.Name, n) },
		Delete: func(n *corev1.Node) { s.inbox.node(n.Name, nil) },
	})
}

// takeChanges brings the model and the queue up to date.
func (s *Scheduler) takeChanges() {
	for _, f := range s.inbox.takeFailures() {
		s.unbind(f)
	}
	order, pods, nodes := s.inbox.take()
	var woke queue.Event
	for name, n := range nodes {
		woke |= s.nodeChanged(name, n)
	}
	for _, uid := range order {
		woke |= s.podChanged(uid, pods[uid].pod)
	}
	if woke != 0 {
		s.queue.Wake(woke)
	}
}

func (s *Scheduler) nodeChanged(name string, n *corev1.Node) queue.Event {
	if n == nil {
		s.model.RemoveNode(name)
		return 0
	}
	have := s.model.Node(name)
	changed := queue.NodeAdded
	if have != nil {
		changed = 0
		if matters(have.Node, n) {
			changed = queue.NodeChanged
		}
	}
	s.model.SetNode(n)
	return changed
}

func (s *Scheduler) podChanged(uid types.UID, p *corev1.Pod) queue.Event {
	if p == nil || over(p) {
		s.queue.Remove(uid)
		if s.model.Remove(uid) {
			return queue.PodGone
		}
		return 0
	}
	if p.Spec.NodeName != "" {
		return s.placed(p)
	}
	if !s.names[p.Spec.SchedulerName] {
		return 0
	}
	if p.DeletionTimestamp != nil || len(p.Spec.SchedulingGates) > 0 {
		s.queue.Remove(uid)
		return 0
	}
	if _, _, assumed := s.model.Pod(uid); assumed {
		return 0 // its binding is under way
	}
	c, err := framework.Compile(p, s.namespacesMatching)
	if err != nil {
		s.o.Logger.Error("pod cannot be scheduled", "pod", kit.KeyOf(p), "err", err)
		return 0
	}
	s.queue.Add(c)
	return 0
}

// placed takes the newer state of a pod that has a node.
func (s *Scheduler) placed(p *corev1.Pod) queue.Event {
	s.queue.Remove(p.UID)
	have, node, known := s.model.Pod(p.UID)
	if known && node == p.Spec.NodeName && samePlacement(have.Pod, p) {
		have.Pod = p // confirmed; nothing that scheduling looks at changed
		return 0
	}
	c, err := framework.Compile(p, s.namespacesMatching)
	if err != nil {
		s.o.Logger.Error("placed pod has a bad affinity, counting it without", "pod", kit.KeyOf(p), "err", err)
	}
	s.model.Place(c, p.Spec.NodeName)
	return queue.PodPlaced
}

// samePlacement reports whether a pod's newer state weighs the same on its node.
func samePlacement(old, p *corev1.Pod) bool {
	if (old.DeletionTimestamp == nil) != (p.DeletionTimestamp == nil) || old.Generation != p.Generation {
		return false
	}
	if len(old.Labels) != len(p.Labels) {
		return false
	}
	for k, v := range old.Labels {
		if p.Labels[k] != v {
			return false
		}
	}
	return true
}

func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
