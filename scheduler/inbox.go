package scheduler

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/queue"
)

// inbox holds what informers told since the loop last looked: the newest state
// of each pod and node, so it never grows beyond the number of objects.
type inbox struct {
	mu     sync.Mutex
	have   changes
	closed bool
	ready  chan struct{}
}

// changes is the content of an inbox. A nil object is gone.
type changes struct {
	pods  map[types.UID]*corev1.Pod
	order []types.UID // pods in the order they first changed: first come, first served
	nodes map[string]*corev1.Node
	fails []failure   // refused bindings, at most one per binder
	made  []types.UID // pods for which all victims were told
	notes note
}

// failure is a binding that the API refused.
type failure struct {
	item *queue.Item
	err  error
}

// note is something that changed of which only the fact matters.
type note uint8

const (
	noteNamespaces note = 1 << iota
	noteStorage
	noteDevices
)

func newInbox() *inbox {
	return &inbox{have: newChanges(), ready: make(chan struct{}, 1)}
}

func newChanges() changes {
	return changes{pods: map[types.UID]*corev1.Pod{}, nodes: map[string]*corev1.Node{}}
}

func (b *inbox) pod(uid types.UID, p *corev1.Pod) {
	b.change(func(c *changes) {
		if _, ok := c.pods[uid]; !ok {
			c.order = append(c.order, uid)
		}
		c.pods[uid] = p
	})
}

// podUpdated also tells that old is gone if p is another pod of the name, made
// between two lists.
func (b *inbox) podUpdated(old, p *corev1.Pod) {
	if old.UID != p.UID {
		b.pod(old.UID, nil)
	}
	b.pod(p.UID, p)
}

func (b *inbox) node(name string, n *corev1.Node) {
	b.change(func(c *changes) { c.nodes[name] = n })
}

func (b *inbox) note(n note) { b.change(func(c *changes) { c.notes |= n }) }

func (b *inbox) failed(it *queue.Item, err error) {
	b.change(func(c *changes) { c.fails = append(c.fails, failure{it, err}) })
}

func (b *inbox) roomMade(uid types.UID) {
	b.change(func(c *changes) { c.made = append(c.made, uid) })
}

func (b *inbox) change(f func(*changes)) {
	b.mu.Lock()
	if !b.closed {
		f(&b.have)
	}
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// close ends collecting: informers outlive a scheduler, and their handlers stay.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.have = true, changes{}
}

// take empties the inbox; false when there was nothing.
func (b *inbox) take() (changes, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.have.order) == 0 && len(b.have.nodes) == 0 && len(b.have.fails) == 0 && len(b.have.made) == 0 && b.have.notes == 0 {
		return changes{}, false
	}
	out := b.have
	b.have = newChanges()
	return out, true
}
