package images

import (
	"context"
	"slices"
	"sync"
)

// slots are places for pulls that have just begun. Namespaces take turns: one that waits with many pulls keeps none of
// another waiting for more than one of its own.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting map[string][]chan struct{} // by namespace, the first come first
	order   []string                   // of the namespaces that wait
}

func newSlots(n int) *slots { return &slots{free: n, waiting: map[string][]chan struct{}{}} }

// take waits for a place, or the end of ctx.
func (s *slots) take(ctx context.Context, namespace string) error {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	if len(s.waiting[namespace]) == 0 {
		s.order = append(s.order, namespace)
	}
	s.waiting[namespace] = append(s.waiting[namespace], mine)
	s.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.waiting[namespace], mine)
	if i >= 0 {
		s.without(namespace, i)
	}
	s.mu.Unlock()
	if i < 0 { // it came meanwhile
		s.leave()
	}
	return ctx.Err()
}

// leave gives a place to the namespace whose turn it is.
func (s *slots) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		s.free++
		return
	}
	next := s.order[0]
	first := s.waiting[next][0]
	if s.without(next, 0); len(s.waiting[next]) > 0 {
		s.order = append(s.order[1:], next)
	}
	close(first)
}

// without forgets one that waits. The caller holds the lock.
func (s *slots) without(namespace string, i int) {
	if left := slices.Delete(s.waiting[namespace], i, i+1); len(left) > 0 {
		s.waiting[namespace] = left
		return
	}
	delete(s.waiting, namespace)
	s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == namespace })
}

// crowd is what takes long. When it is full, the namespace with the most makes way.
type crowd struct {
	mu   sync.Mutex
	most int
	in   []*member // in the order they came
}

type member struct {
	namespace string
	end       func()
}

// join returns how to leave. Where there is no room, a member of a namespace that has more than the newcomer's would
// have is ended, its newest, or else the newcomer: nil is returned then.
func (c *crowd) join(namespace string, end func()) (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.in) >= c.most {
		has := map[string]int{}
		greediest := namespace
		for _, m := range c.in {
			if has[m.namespace]++; has[m.namespace] > has[greediest] {
				greediest = m.namespace
			}
		}
		if has[greediest] <= has[namespace]+1 {
			end()
			return nil
		}
		for i, m := range slices.Backward(c.in) {
			if m.namespace == greediest {
				m.end()
				c.in = slices.Delete(c.in, i, i+1)
				break
			}
		}
	}
	me := &member{namespace, end}
	c.in = append(c.in, me)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.in = slices.DeleteFunc(c.in, func(m *member) bool { return m == me })
	}
}
