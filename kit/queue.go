package kit

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Queue holds keys to work on. A key that is waiting is held once; a key that is
// being worked on is not given to a second worker but comes again when it was
// added meanwhile. Delayed keys cost one timer for the whole queue; an idle
// queue does nothing.
//
// Keys belong to groups, which take turns: whoever has a thousand keys waiting makes
// others wait for one of them.
type Queue[K comparable] struct {
	base, max time.Duration
	stats     *queueStats
	group     func(K) string

	mu       sync.Mutex
	wake     chan struct{} // capacity 1: something is ready
	ready    turns[K]
	added    map[K]time.Time // waiting (in ready, or to come after the work on it), since when
	active   map[K]time.Time // being worked on, since when
	failures map[K]int
	delayed  delayedKeys[K]
	due      map[K]time.Time // the earliest time a delayed key is wanted
	timer    *time.Timer
	closed   bool
}

// NewQueue makes a queue whose Retry waits base after the first failure of a key and
// twice as long after each further one, up to max. stats may be nil.
func newQueue[K comparable](base, max time.Duration, stats *queueStats, group func(K) string) *Queue[K] {
	q := &Queue[K]{
		base: base, max: max, stats: stats, group: group,
		wake:  make(chan struct{}, 1),
		added: map[K]time.Time{}, active: map[K]time.Time{}, failures: map[K]int{}, due: map[K]time.Time{},
	}
	if stats != nil {
		stats.read = q.load
	}
	return q
}

// Add makes a key ready, once.
func (q *Queue[K]) Add(k K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(k)
}

func (q *Queue[K]) addLocked(k K) {
	if _, waiting := q.added[k]; waiting || q.closed {
		return
	}
	q.added[k] = time.Now()
	if q.stats != nil {
		q.stats.adds.Inc()
	}
	if _, busy := q.active[k]; busy {
		return
	}
	q.ready.push(q.group(k), k)
	q.signalLocked()
}

func (q *Queue[K]) signalLocked() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// AddAfter makes a key ready after d. Of several delays the shortest counts.
func (q *Queue[K]) AddAfter(k K, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d <= 0 {
		q.addLocked(k)
		return
	}
	at := time.Now().Add(d)
	if have, ok := q.due[k]; q.closed || ok && !at.Before(have) {
		return
	}
	q.due[k] = at
	heap.Push(&q.delayed, delayedKey[K]{k, at})
	if q.delayed[0].at.Equal(at) {
		q.armLocked()
	}
}

// armLocked sets the timer to the first delayed key.
func (q *Queue[K]) armLocked() {
	if len(q.delayed) == 0 {
		return
	}
	d := time.Until(q.delayed[0].at)
	if q.timer == nil {
		q.timer = time.AfterFunc(d, q.ripen)
		return
	}
	q.timer.Reset(d)
}

// ripen moves the delayed keys whose time has come.
func (q *Queue[K]) ripen() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for len(q.delayed) > 0 && !q.delayed[0].at.After(now) {
		d := heap.Pop(&q.delayed).(delayedKey[K])
		if at, ok := q.due[d.key]; ok && at.Equal(d.at) { // not replaced by an earlier one
			delete(q.due, d.key)
			q.addLocked(d.key)
		}
	}
	if !q.closed {
		q.armLocked()
	}
}

// Retry makes a key that failed ready after its backoff.
func (q *Queue[K]) Retry(k K) {
	q.mu.Lock()
	n := q.failures[k]
	q.failures[k] = n + 1
	q.mu.Unlock()
	if q.stats != nil {
		q.stats.retries.Inc()
	}
	d := q.max
	if n < 32 {
		d = min(q.base<<n, q.max)
	}
	q.AddAfter(k, d)
}

// Forget ends the backoff of a key.
func (q *Queue[K]) Forget(k K) {
	q.mu.Lock()
	delete(q.failures, k)
	q.mu.Unlock()
}

// Failures is how often in a row a key failed.
func (q *Queue[K]) Failures(k K) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failures[k]
}

// Get waits for a key; false when ctx is done or the queue closed. Done(k) must follow.
func (q *Queue[K]) Get(ctx context.Context) (K, bool) {
	for ctx.Err() == nil { // also while there is always a key
		if k, ok := q.take(); ok {
			return k, true
		}
		select {
		case <-ctx.Done():
		case <-q.wake:
		}
	}
	var zero K
	return zero, false
}

func (q *Queue[K]) take() (k K, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ready.len == 0 || q.closed {
		return k, false
	}
	k = q.ready.pop()
	now := time.Now()
	if q.stats != nil {
		q.stats.waited.Observe(now.Sub(q.added[k]).Seconds())
	}
	delete(q.added, k)
	q.active[k] = now
	if q.ready.len > 0 {
		q.signalLocked() // the next worker
	}
	return k, true
}

// Done ends the work on a key.
func (q *Queue[K]) Done(k K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stats != nil {
		q.stats.worked.Observe(time.Since(q.active[k]).Seconds())
	}
	delete(q.active, k)
	if _, again := q.added[k]; again && !q.closed {
		q.ready.push(q.group(k), k)
		q.signalLocked()
	}
}

// Len is how many keys are ready.
func (q *Queue[K]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ready.len
}

func (q *Queue[K]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.timer != nil {
		q.timer.Stop()
	}
	q.ready, q.delayed = turns[K]{}, nil
}

// load is what the metrics want to know of this moment.
func (q *Queue[K]) load() (depth int, unfinished, longest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, since := range q.active {
		d := now.Sub(since)
		unfinished += d
		longest = max(longest, d)
	}
	return q.ready.len, unfinished, longest
}

type delayedKey[K comparable] struct {
	key K
	at  time.Time
}

type delayedKeys[K comparable] []delayedKey[K]

func (h delayedKeys[K]) Len() int           { return len(h) }
func (h delayedKeys[K]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h delayedKeys[K]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *delayedKeys[K]) Push(x any)        { *h = append(*h, x.(delayedKey[K])) }
func (h *delayedKeys[K]) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
