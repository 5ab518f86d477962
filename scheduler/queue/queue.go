// Package queue holds the pods that wait for a node.
//
//	           Pop                 Requeue(attempt failed)
//	active ───────────▶ (cycle) ─────────────┬──────────▶ parked ──┐ Wake(event), Put(changed pod) or after 5 min
//	  ▲  ▲                                   │ error,               │
//	  │  │                                   │ or woken meanwhile   ▼
//	  │  └──────────── backoff ◀─────────────┴──────────────── if its backoff is not up
//	  └─ Put
//
// Active pods are ordered by priority, then by when they were first added. A pod
// that failed waits 1 s, 2 s, 4 s … up to 10 s before it is tried again. Parked
// pods wait for an event that may help them; an event that comes while a pod is
// in its cycle is not lost. All methods may be called from any goroutine.
package queue

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/supervise"
	"hyperkube/scheduler/framework"
)

const (
	firstBackoff = time.Second
	maxBackoff   = 10 * time.Second
	maxParked    = 5 * time.Minute
)

// Item is a pod in the queue.
type Item struct {
	// Pod is replaced only by Put, on the goroutine that calls it.
	Pod      *framework.Pod
	Added    time.Time
	Attempts int

	order    uint64          // of first adding
	waits    framework.Event // what may help, set by the attempt that failed
	rejected []string        // plugins that refused
	place    place
	until    time.Time // when backoff or parking ends
	failed   time.Time // the last attempt
	index    int       // in its heap
	popped   uint64    // the event counter when its cycle began
	changed  bool      // Put while in its cycle
}

// Rejecters are the plugins that refused at the last attempt.
func (it *Item) Rejecters() []string { return it.rejected }

type place uint8

const (
	nowhere place = iota
	active
	backing
	parked
	inCycle
)

// Moved is told of every entry to one of the three parts, by name ("active",
// "backoff", "unschedulable"), with what brought it there.
type Moved func(part, event string)

// Queue is made with New.
type Queue struct {
	mu     sync.Mutex
	items  map[types.UID]*Item
	active byPriority
	timed  byTime // backing off and parked
	wake   chan struct{}
	now    func() time.Time
	moved  Moved

	orders  uint64
	events  uint64                   // counts Wakes
	last    [framework.Events]uint64 // the latest Wake of each event
	waiting [framework.Events]int    // parked pods that wait for each event
}

// New makes an empty queue; moved may be nil.
func New(now func() time.Time, moved Moved) *Queue {
	if moved == nil {
		moved = func(string, string) {}
	}
	return &Queue{items: map[types.UID]*Item{}, wake: make(chan struct{}, 1), now: now, moved: moved}
}

// Put takes a new pod, or a state of a queued one that scheduling may judge
// otherwise than the last.
func (q *Queue) Put(p *framework.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.items[p.UID]
	if !ok {
		q.orders++
		it = &Item{Pod: p, Added: q.now(), order: q.orders}
		q.items[p.UID] = it
		q.activate(it, "PodAdd")
		return
	}
	it.Pod = p
	switch it.place {
	case inCycle:
		it.changed = true
	case active:
		heap.Fix(&q.active, it.index)
	case parked:
		q.unpark(it, "PodUpdate")
	}
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
		q.leaveTimed(it)
	}
	it.place = nowhere
}

// Get returns the pod that waits or is in its cycle.
func (q *Queue) Get(uid types.UID) (*Item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.items[uid]
	return it, ok
}

// Each calls f with every queued pod.
func (q *Queue) Each(f func(*Item)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		f(it)
	}
}

// Pop waits for the next pod, or returns nil when interrupted. The pod stays
// known until Remove or Requeue.
func (q *Queue) Pop(ctx context.Context, interrupt <-chan struct{}) (*Item, error) {
	for {
		it, next := q.tryPop()
		if it != nil {
			return it, nil
		}
		if interrupted, err := q.wait(ctx, interrupt, next); interrupted || err != nil {
			return nil, err
		}
	}
}

func (q *Queue) wait(ctx context.Context, interrupt <-chan struct{}, next time.Time) (bool, error) {
	var timer <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(max(0, next.Sub(q.now())))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-interrupt:
		return true, nil
	case <-q.wake:
	case <-timer:
	}
	return false, nil
}

func (q *Queue) tryPop() (*Item, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for len(q.timed) > 0 && !q.timed[0].until.After(now) {
		it := q.timed[0]
		event := "BackoffComplete"
		if it.place == parked {
			event = "UnschedulableTimeout"
		}
		q.leaveTimed(it)
		q.activate(it, event)
	}
	if len(q.active) == 0 {
		if len(q.timed) == 0 {
			return nil, time.Time{}
		}
		return nil, q.timed[0].until
	}
	it := heap.Pop(&q.active).(*Item)
	it.place, it.popped, it.changed = inCycle, q.events, false
	it.Attempts++
	return it, time.Time{}
}

// Requeue takes back a pod whose attempt failed. waits are the events that may
// help; none means the failure was an error and time alone may help.
func (q *Queue) Requeue(it *Item, waits framework.Event, rejecters []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items[it.Pod.UID] != it || it.place != inCycle {
		return
	}
	it.waits, it.rejected, it.failed = waits, rejecters, q.now()
	if waits == 0 || it.changed || q.since(it.popped)&waits != 0 {
		q.back(it, "ScheduleAttemptFailure")
	} else {
		it.place, it.until = parked, it.failed.Add(maxParked)
		q.count(it, 1)
		heap.Push(&q.timed, it)
		q.moved("unschedulable", "ScheduleAttemptFailure")
	}
	q.signal()
}

// Wake moves the parked pods that e may help; event is its name for metrics.
func (q *Queue) Wake(e framework.Event, event string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events++
	awaited := false
	for i := range q.last {
		if e&(1<<i) != 0 {
			q.last[i] = q.events
			awaited = awaited || q.waiting[i] > 0
		}
	}
	if !awaited {
		return
	}
	var woken []*Item
	for _, it := range q.timed {
		if it.place == parked && it.waits&e != 0 {
			woken = append(woken, it)
		}
	}
	for _, it := range woken {
		q.unpark(it, event)
	}
}

// since returns the events that came after the counter stood at n.
func (q *Queue) since(n uint64) framework.Event {
	var e framework.Event
	for i, at := range q.last {
		if at > n {
			e |= 1 << i
		}
	}
	return e
}

func (q *Queue) unpark(it *Item, event string) {
	q.leaveTimed(it)
	if it.failed.Add(backoff(it.Attempts)).After(q.now()) {
		q.back(it, event)
	} else {
		q.activate(it, event)
	}
	q.signal()
}

func (q *Queue) back(it *Item, event string) {
	it.place, it.until = backing, it.failed.Add(backoff(it.Attempts))
	heap.Push(&q.timed, it)
	q.moved("backoff", event)
}

func (q *Queue) activate(it *Item, event string) {
	it.place = active
	heap.Push(&q.active, it)
	q.moved("active", event)
	q.signal()
}

func (q *Queue) leaveTimed(it *Item) {
	if it.place == parked {
		q.count(it, -1)
	}
	heap.Remove(&q.timed, it.index)
	it.place = nowhere
}

func (q *Queue) count(it *Item, by int) {
	for i := range q.waiting {
		if it.waits&(1<<i) != 0 {
			q.waiting[i] += by
		}
	}
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// backoff is how long an item that failed so often is not tried again.
func backoff(attempts int) time.Duration {
	return supervise.Growth{First: firstBackoff, Most: maxBackoff}.After(max(attempts, 1))
}
