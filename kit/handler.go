package kit

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// Handler is told of changes, in order, on one goroutine of its own. Nil
// functions are skipped. Initial is true for the objects of the first list.
//
// An object that was replaced under its name while nobody watched (another UID) is told as
// one that went and one that came, never as a change. A handler that panics is told of the
// same change again, with pauses, as long as it is still true.
type Handler[T Object] struct {
	Add    func(obj T, initial bool)
	Update func(old, obj T)
	Delete func(obj T) // the last state known
}

// Any returns a handler that calls f with every object that changed, in its
// newest state.
func Any[T Object](f func(obj T)) Handler[T] {
	return Handler[T]{
		Add:    func(obj T, _ bool) { f(obj) },
		Update: func(_, obj T) { f(obj) },
		Delete: f,
	}
}

// Pauses before a change that made a handler panic is told again.
const (
	firstAgain = time.Second
	lastAgain  = 5 * time.Minute
)

// guard stands between the shared informer and a handler: it types what comes, tells
// replaced objects apart, is silent once its scope is closed, and contains panics.
type guard[T Object] struct {
	h      Handler[T]
	from   *shared
	closed *atomic.Bool
	panics *trouble.Teller

	mu     sync.Mutex // one change at a time, those told again included
	missed map[types.UID]*missed[T]
}

// missed is a change that made the handler panic.
type missed[T Object] struct {
	old, obj T
	change   change
	pause    time.Duration
}

type change uint8

const (
	added change = iota
	updated
	deleted
)

func newGuard[T Object](h Handler[T], from *shared, closed *atomic.Bool) *guard[T] {
	return &guard[T]{h: h, from: from, closed: closed, panics: from.newPanics(), missed: map[types.UID]*missed[T]{}}
}

// funcs is the guard as the shared informer takes it.
func (g *guard[T]) funcs() cache.ResourceEventHandlerDetailedFuncs {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if t, ok := o.(T); ok {
				g.tell(added, t, t, initial)
			}
		},
		UpdateFunc: func(old, o any) {
			was, ok1 := old.(T)
			is, ok2 := o.(T)
			switch {
			case !ok1 || !ok2:
			case was.GetUID() != is.GetUID():
				g.tell(deleted, was, was, false)
				g.tell(added, is, is, false)
			default:
				g.tell(updated, was, is, false)
			}
		},
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if t, ok := o.(T); ok {
				g.tell(deleted, t, t, false)
			}
		},
	}
}

func (g *guard[T]) tell(c change, old, obj T, initial bool) {
	if g.closed.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c == deleted {
		delete(g.missed, obj.GetUID()) // what came before no longer matters
	}
	g.callLocked(&missed[T]{old: old, obj: obj, change: c}, initial)
}

// callLocked tells the handler, and notes the change when it panics.
func (g *guard[T]) callLocked(m *missed[T], initial bool) {
	err := supervise.Contain("handler of "+g.from.gvr.Resource, func() error {
		switch {
		case m.change == added && g.h.Add != nil:
			g.h.Add(m.obj, initial)
		case m.change == updated && g.h.Update != nil:
			g.h.Update(m.old, m.obj)
		case m.change == deleted && g.h.Delete != nil:
			g.h.Delete(m.obj)
		}
		return nil
	})
	if err == nil {
		if m.pause > 0 && len(g.missed) == 0 {
			g.panics.Well()
		}
		return
	}
	m.pause = min(max(2*m.pause, firstAgain), lastAgain)
	args := []any{"object", KeyOf(m.obj), "again", m.pause}
	var p *supervise.Panic
	if errors.As(err, &p) {
		args = append(args, "stack", string(p.Stack))
	}
	g.panics.Failed(err, args...)
	g.missed[m.obj.GetUID()] = m
	time.AfterFunc(m.pause, func() { g.again(m) })
}

// again tells of a change that made the handler panic once more: of what has become of the
// object by now, unless something newer was noted or it is gone.
func (g *guard[T]) again(m *missed[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	uid := m.obj.GetUID()
	if g.closed.Load() || g.from.IsStopped() || g.missed[uid] != m {
		return
	}
	delete(g.missed, uid)
	if m.change != deleted {
		o, ok, err := g.from.GetIndexer().GetByKey(KeyOf(m.obj).String())
		now, typed := o.(T)
		if !ok || err != nil || !typed || now.GetUID() != uid {
			return // its going has been told, or will be
		}
		m.obj = now
	}
	g.callLocked(m, false)
}
