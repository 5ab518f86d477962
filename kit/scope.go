package kit

import (
	"sync"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"
)

// Scope is the same set of informers for one role: what is read is shared, and Close takes away the
// handlers that were registered through the scope, so that a role that starts anew leaves
// none behind.
//
//	mine := informers.Scope()
//	defer mine.Close()
//	role.New(mine) … role.Run(ctx)
func (f *Informers) Scope() *Informers { return &Informers{f.informerSet, &scope{}} }

// Close removes the handlers of this scope: each is called once more at most, if it is being called
// now. Reading stays possible; later handlers are never called.
func (f *Informers) Close() { f.scope.close() }

// scope holds the handlers of one Informers.
type scope struct {
	closed atomic.Bool

	mu   sync.Mutex
	held []registration
}

type registration struct {
	from *shared
	reg  cache.ResourceEventHandlerRegistration
}

func (r registration) remove() {
	if err := r.from.RemoveEventHandler(r.reg); err != nil {
		r.from.log.Debug("handler not removed", "resource", r.from.gvr.String(), "err", err)
	}
}

func (s *scope) add(from *shared, reg cache.ResourceEventHandlerRegistration) {
	r := registration{from, reg}
	s.mu.Lock()
	late := s.closed.Load()
	if !late {
		s.held = append(s.held, r)
	}
	s.mu.Unlock()
	if late {
		r.remove()
	}
}

func (s *scope) close() {
	s.mu.Lock()
	s.closed.Store(true)
	held := s.held
	s.held = nil
	s.mu.Unlock()
	for _, r := range held {
		r.remove()
	}
}
