package kit

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// expectationsLast is how long unseen creations and deletions hold a key back
// before the controller believes its informer again.
const expectationsLast = 5 * time.Minute

// Expectations count the creations and deletions that a controller has asked for and not
// yet seen through its informer, so that it does not ask twice. They are those of one owner: when
// another object has its name, they are void.
type Expectations struct {
	mu   sync.Mutex
	keys map[Key]*expected
}

type expected struct {
	owner     types.UID
	creations int
	deletions map[types.UID]struct{}
	since     time.Time
}

// NewExpectations expects nothing.
func NewExpectations() *Expectations { return &Expectations{keys: map[Key]*expected{}} }

// Wait is how long the owner under a key may not be acted upon: zero when nothing is outstanding,
// else until the expectations run out. Whatever is awaited brings the key back when it is seen; that it
// never is brings nothing, so whoever is told to wait must come back after that long.
func (e *Expectations) Wait(k Key, owner types.UID) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	x, ok := e.keys[k]
	if ok && x.owner != owner {
		delete(e.keys, k)
		ok = false
	}
	if !ok || x.creations <= 0 && len(x.deletions) == 0 {
		return 0
	}
	return max(expectationsLast-time.Since(x.since), 0)
}

// Creations expects n more objects to appear.
func (e *Expectations) Creations(k Key, owner types.UID, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.getLocked(k, owner)
	x.creations = max(x.creations, 0) + n
}

// Deletions expects these objects to go.
func (e *Expectations) Deletions(k Key, owner types.UID, uids ...types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.getLocked(k, owner)
	for _, u := range uids {
		x.deletions[u] = struct{}{}
	}
}

func (e *Expectations) getLocked(k Key, owner types.UID) *expected {
	x, ok := e.keys[k]
	if !ok || x.owner != owner || time.Since(x.since) >= expectationsLast {
		x = &expected{owner: owner, deletions: map[types.UID]struct{}{}}
		e.keys[k] = x
	}
	x.since = time.Now()
	return x
}

// Created tells of an object that appeared, or of a creation that failed.
func (e *Expectations) Created(k Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x, ok := e.keys[k]; ok && x.creations > 0 {
		x.creations--
	}
}

// Deleted tells of an object that went or began to go, or of a deletion that failed.
func (e *Expectations) Deleted(k Key, uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x, ok := e.keys[k]; ok {
		delete(x.deletions, uid)
	}
}

// Going returns the UIDs whose deletion was asked for and has not been seen.
func (e *Expectations) Going(k Key) map[types.UID]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x, ok := e.keys[k]
	if !ok || len(x.deletions) == 0 {
		return nil
	}
	out := make(map[types.UID]bool, len(x.deletions))
	for u := range x.deletions {
		out[u] = true
	}
	return out
}

// Forget drops a key whose object is gone.
func (e *Expectations) Forget(k Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.keys, k)
}
