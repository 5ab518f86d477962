package filters

import (
	"context"
	"sync"
	"time"

	"hyperkube/internal/bounds"
)

// turns lets few connections of an account begin at the same time; the others wait. What
// costs the server's time is their beginning (finding the other end, dialling, a handshake of
// TLS on both sides), and hundreds at once leave everybody else waiting for the processor.
//
// A turn ends with the request, or after a moment: one that waits for the other end costs
// nothing, and nobody waits for it.
type turns struct {
	most   int
	moment time.Duration

	mu sync.Mutex
	of map[string]*queue
}

// queue is where the requests of one account wait.
type queue struct {
	begin chan struct{} // holds those who have a turn
	users int           // who have one or wait
}

func newTurns() *turns {
	return &turns{most: bounds.Beginnings, moment: bounds.BeginningTime, of: map[string]*queue{}}
}

// take waits for a turn; done ends it. It fails when ctx ends before.
func (t *turns) take(ctx context.Context, who string) (done func(), err error) {
	q := t.enter(who)
	select {
	case q.begin <- struct{}{}:
	case <-ctx.Done():
		t.exit(who, q)
		return nil, context.Cause(ctx)
	}
	end := sync.OnceFunc(func() {
		<-q.begin
		t.exit(who, q)
	})
	timer := time.AfterFunc(t.moment, end)
	return func() {
		timer.Stop()
		end()
	}, nil
}

func (t *turns) enter(who string) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.of[who]
	if q == nil {
		q = &queue{begin: make(chan struct{}, t.most)}
		t.of[who] = q
	}
	q.users++
	return q
}

func (t *turns) exit(who string, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(t.of, who)
	}
}
