package steps

import (
	"context"
	"slices"
	"sync"
	"time"

	"hyperkube/internal/bounds"
)

// holding is how long a start keeps its places at most: one that hangs keeps nobody waiting for longer.
const holding = 10 * time.Second

// places bound how many mounts of the node are there at once for the subPaths of containers that start. Every container
// that starts, of whatever pod, copies all mounts of the node and throws them away, which takes ever longer for all the
// more there are. Namespaces take turns. The zero value is ready.
type places struct {
	mu      sync.Mutex
	used    int
	waiting map[string][]*claimant // by namespace, the first come first
	order   []string               // of the namespaces that wait
}

type claimant struct {
	n   int
	got chan struct{}
}

// take waits for n places, all that there are at most, or the end of ctx. They are given back by leave, or after holding.
func (p *places) take(ctx context.Context, namespace string, n int) (leave func(), err error) {
	me := &claimant{min(n, bounds.SubPathsAtOnce), make(chan struct{})}
	p.mu.Lock()
	if p.waiting == nil {
		p.waiting = map[string][]*claimant{}
	}
	if len(p.waiting[namespace]) == 0 {
		p.order = append(p.order, namespace)
	}
	p.waiting[namespace] = append(p.waiting[namespace], me)
	p.grantLocked()
	p.mu.Unlock()
	give := sync.OnceFunc(func() { p.give(me.n) })
	select {
	case <-me.got:
		timer := time.AfterFunc(holding, give)
		return func() { timer.Stop(); give() }, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting[namespace], me); i >= 0 {
		p.withoutLocked(namespace, i)
	} else { // they came meanwhile
		p.used -= me.n
	}
	p.grantLocked()
	return nil, ctx.Err()
}

func (p *places) give(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= n
	p.grantLocked()
}

// grantLocked serves the namespace whose turn it is. Nobody overtakes it, so that who needs many gets them, too.
func (p *places) grantLocked() {
	for len(p.order) > 0 {
		next := p.order[0]
		first := p.waiting[next][0]
		if p.used+first.n > bounds.SubPathsAtOnce {
			return
		}
		p.used += first.n
		if p.withoutLocked(next, 0); len(p.waiting[next]) > 0 {
			p.order = append(p.order[1:], next)
		}
		close(first.got)
	}
}

// withoutLocked forgets one that waits.
func (p *places) withoutLocked(namespace string, i int) {
	if left := slices.Delete(p.waiting[namespace], i, i+1); len(left) > 0 {
		p.waiting[namespace] = left
		return
	}
	delete(p.waiting, namespace)
	p.order = slices.DeleteFunc(p.order, func(n string) bool { return n == namespace })
}
