// Package queue holds the pods that wait for a node.
//
//	           Pop                 Requeue(attempt failed)
//	active ───────────▶ (cycle) ─────────────┬──────────▶ parked ──┐ Wake(event) or after 5 min
//	  ▲  ▲                                   │ error                ▼
//	  │  └──────────── backoff ◀─────────────┴──────────────── backing off, if its time is not up
//	  └─ Add
//
// Active pods are ordered by priority, then by when they were added. A pod that
// failed waits 1 s, 2 s, 4 s … up to 10 s before it is tried again. Parked pods
// wait for an event that may help them. All methods may be called from any
// goroutine; time comes in as an argument or through the clock function.
package queue

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/framework"
)

const (
	firstBackoff = time.Second
	maxBackoff   = 10 * time.Second
	maxParked    = 5 * time.Minute
)

// Event is a kind of change that may make a pod schedulable, as a bit set.
type Event uint8

const (
	NodeAdded Event = 1 << iota
	NodeChanged
	PodGone
	PodPlaced
	Every Event = 0xff
)

// Item is a pod in the queue.
type Item struct {
	Pod      *framework.Pod
	Added    time.Time
	Attempts int
	// Waits are the events that may help, set by the attempt that failed.
	Waits Event

	place place
	until time.Time // when backoff or parking ends
	index int       // in its heap
}

type place uint8

const (
	nowhere place = iota
	active
	backing
	parked
	inCycle
)

// Queue is made with New.
type Queue struct {
	mu      sync.Mutex
	items   map[types.UID]*Item
	active  byPriority
	timed   byTime // backing off and parked
	wake    chan struct{}
	now     func() time.Time
	pending Event // events that came while a pod was in its cycle
}

// New makes an empty queue.
func New(now func() time.Time) *Queue {
	return &Queue{items: map[types.UID]*Item{}, wake: make(chan struct{}, 1), now: now}
}

// Add puts a new pod, or the newer state of a queued one, in the active queue.
func (q *Queue) Add(p *framework.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.items[p.UID]
	if !ok {
		it = &Item{Pod: p, Added: q.now()}
		q.items[p.UID] = it
	}
	it.Pod = p
	switch it.place {
	case inCycle:
		return // the attempt under way will see that it is stale
	case active:
		heap.Fix(&q.active, it.index)
		return
	case backing:
		return
	case parked:
		q.leaveTimed(it)
	}
	q.activate(it)
}

// Remove forgets a pod.
func (q *Queue) Remove(uid types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.items[uid]
	if !ok {
		return
	}
	delete(q.items, uid)
	switch it.place {
	case active:
		heap.Remove(&q.active, it.index)
	case backing, parked:
		heap.Remove(&q.timed, it.index)
	}
	it.place = nowhere
}

// Has reports whether the pod waits or is in its cycle.
func (q *Queue) Has(uid types.UID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.items[uid]
	return ok
}

// Pop waits for the next pod. It stays known until Remove or Requeue.
func (q *Queue) Pop(ctx context.Context, interrupt <-chan struct{}) (*Item, error) {
	for {
		it, next := q.tryPop()
		if it != nil {
			return it, nil
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			t := time.NewTimer(max(0, next.Sub(q.now())))
			timer = t.C
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-interrupt:
			return nil, nil
		case <-q.wake:
		case <-timer:
		}
	}
}

func (q *Queue) tryPop() (*Item, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for len(q.timed) > 0 && !q.timed[0].until.After(now) {
		it := q.timed[0]
		q.leaveTimed(it)
		q.activate(it)
	}
	if len(q.active) == 0 {
		if len(q.timed) == 0 {
			return nil, time.Time{}
		}
		return nil, q.timed[0].until
	}
	it := heap.Pop(&q.active).(*Item)
	it.place = inCycle
	it.Attempts++
	q.pending = 0
	return it, time.Time{}
}

// Requeue takes back a pod whose attempt failed. waits are the events that may
// help; none means the failure was an error and time alone may help.
func (q *Queue) Requeue(it *Item, waits Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items[it.Pod.UID] != it || it.place != inCycle {
		return
	}
	it.Waits = waits
	now := q.now()
	if waits == 0 || q.pending&waits != 0 {
		it.place, it.until = backing, now.Add(backoff(it.Attempts))
	} else {
		it.place, it.until = parked, now.Add(maxParked)
	}
	heap.Push(&q.timed, it)
	q.signal()
}

// Wake moves the parked pods that e may help.
func (q *Queue) Wake(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending |= e
	var woken []*Item
	for _, it := range q.timed {
		if it.place == parked && it.Waits&e != 0 {
			woken = append(woken, it)
		}
	}
	now := q.now()
	for _, it := range woken {
		// The backoff counts from the attempt, which parked for maxParked at most.
		ready := it.until.Add(backoff(it.Attempts) - maxParked)
		if ready.After(now) {
			it.place, it.until = backing, ready
			heap.Fix(&q.timed, it.index)
			continue
		}
		q.leaveTimed(it)
		q.activate(it)
	}
	if len(woken) > 0 {
		q.signal()
	}
}

// Lengths of the three parts, for metrics.
func (q *Queue) Lengths() (nActive, nBackoff, nParked int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.timed {
		if it.place == parked {
			nParked++
		}
	}
	return len(q.active), len(q.timed) - nParked, nParked
}

func (q *Queue) activate(it *Item) {
	it.place = active
	heap.Push(&q.active, it)
	q.signal()
}

func (q *Queue) leaveTimed(it *Item) {
	heap.Remove(&q.timed, it.index)
	it.place = nowhere
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func backoff(attempts int) time.Duration {
	d := firstBackoff
	for range attempts - 1 {
		if d *= 2; d >= maxBackoff {
			return maxBackoff
		}
	}
	return d
}
