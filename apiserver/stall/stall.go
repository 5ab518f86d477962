// Package stall ends answers that nobody reads. A write to a client that takes
// nothing blocks, whatever the request's context says, and keeps what it holds:
// a place, a buffer, a queue of events.
//
//	g := stall.New(w, after)   nothing runs yet
//	g.Begin(); w.Write(…); g.End()
//	g.Close()                  before the handler returns
//
// Contract: Begin and End are called by the handler's goroutine. When more than
// after lies between them, the answer's write deadline is put into the past: the
// write fails, and an HTTP/2 stream is reset, an HTTP/1 connection closed. Writers
// without deadlines are left alone. After Close nothing touches the writer.
package stall

import (
	"net/http"
	"sync"
	"time"
)

// Guard watches over the writes of one answer.
type Guard struct {
	after time.Duration
	rc    *http.ResponseController
	timer *time.Timer

	mu     sync.Mutex // held while the writer is touched from outside of the handler
	closed bool
}

// New makes a guard for w.
func New(w http.ResponseWriter, after time.Duration) *Guard {
	return &Guard{after: after, rc: http.NewResponseController(w)}
}

// Begin starts the clock.
func (g *Guard) Begin() {
	if g.timer == nil {
		g.timer = time.AfterFunc(g.after, g.cut)
		return
	}
	g.timer.Reset(g.after)
}

// End stops it.
func (g *Guard) End() {
	if g.timer != nil {
		g.timer.Stop()
	}
}

// Close ends the guard; it may have cut the answer before, not after.
func (g *Guard) Close() {
	g.End()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *Guard) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		_ = g.rc.SetWriteDeadline(time.Unix(1, 0)) // not supported: a test's writer
	}
}
