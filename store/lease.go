package store

import (
	"context"
	"sync"
	"time"

	"hyperkube/store/backend"
)

const (
	// leaseShare is how long objects with the same time to live go to the same
	// lease; each lives that much longer at most.
	leaseShare = time.Minute
	// leaseObjects bounds how many objects end in one transaction.
	leaseObjects = 1000
)

// leases shares etcd leases among objects that expire at about the same time.
type leases struct {
	mu    sync.Mutex
	byTTL map[int64]*lease
}

type lease struct {
	id    int64
	until time.Time
	left  int
	ready chan struct{} // closed when id or err is set
	err   error
}

func (l *leases) get(ctx context.Context, closed <-chan struct{}, b backend.Backend, ttl int64) (int64, error) {
	share := min(leaseShare, time.Duration(ttl)*time.Second/4)
	l.mu.Lock()
	cur := l.byTTL[ttl]
	now := time.Now()
	if cur == nil || cur.left == 0 || !now.Before(cur.until) {
		cur = &lease{until: now.Add(share), left: leaseObjects, ready: make(chan struct{})}
		if l.byTTL == nil {
			l.byTTL = map[int64]*lease{}
		}
		l.byTTL[ttl] = cur
		go l.grant(context.WithoutCancel(ctx), b, ttl, share, cur)
	}
	cur.left--
	l.mu.Unlock()
	select {
	case <-cur.ready:
		return cur.id, cur.err
	case <-closed:
		return 0, ErrClosed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// grant asks etcd for the lease that cur stands for. It ends within the bound.
func (l *leases) grant(ctx context.Context, b backend.Backend, ttl int64, share time.Duration, cur *lease) {
	ctx, cancel := context.WithTimeout(ctx, latestLimit)
	defer cancel()
	cur.id, cur.err = b.Grant(ctx, ttl+int64((share+time.Second-1)/time.Second))
	if cur.err != nil {
		l.mu.Lock()
		if l.byTTL[ttl] == cur {
			delete(l.byTTL, ttl)
		}
		l.mu.Unlock()
	}
	close(cur.ready)
}
