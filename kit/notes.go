package kit

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Notes keep what a controller must remember of the objects under its keys, each for as long as
// the object is the same one: another of the name (another UID) begins with the zero value. The
// zero Notes is empty.
type Notes[V any] struct {
	mu   sync.Mutex
	keys map[Key]note[V]
}

type note[V any] struct {
	uid   types.UID
	value V
}

// Get returns the note of an object, and whether there is one.
func (n *Notes[V]) Get(k Key, uid types.UID) (V, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if have, ok := n.keys[k]; ok && have.uid == uid {
		return have.value, true
	}
	var zero V
	return zero, false
}

// Set replaces the note of an object.
func (n *Notes[V]) Set(k Key, uid types.UID, v V) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keys == nil {
		n.keys = map[Key]note[V]{}
	}
	n.keys[k] = note[V]{uid, v}
}

// Drop forgets an object, and reports whether there was a note of it.
func (n *Notes[V]) Drop(k Key, uid types.UID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	have, ok := n.keys[k]
	if !ok || have.uid != uid {
		return false
	}
	delete(n.keys, k)
	return true
}

// Forget drops whatever is noted under a key whose object is gone.
func (n *Notes[V]) Forget(k Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.keys, k)
}
