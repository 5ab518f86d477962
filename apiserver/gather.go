package apiserver

import (
	"net"
	"sync"
	"time"
)

// gatherListener makes connections that pass several TLS records to the kernel
// at once. net/http writes HTTP/2 frames through a buffer of 4 KiB, so an event
// for 200 watches of one connection would cost 60 system calls.
type gatherListener struct{ net.Listener }

// Accept implements net.Listener.
func (l gatherListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gathered{Conn: c}, nil
}

const (
	// A full buffer of net/http becomes a record of this many bytes or a few more.
	fullRecordMin = 4096 + 5 + 16
	fullRecordMax = fullRecordMin + 32
	gatherMax     = 32 << 10
	// gatherWait is for the rare full buffer that nothing follows.
	gatherWait = time.Millisecond
)

// gathered holds records back that filled the writer's buffer: more follows at
// once, since the buffer is flushed when there is nothing left to send. Close does
// not wait for a write: the TLS layer's last word has sent what was held back.
type gathered struct {
	net.Conn
	mu    sync.Mutex
	buf   []byte
	timer *time.Timer
	err   error // of a write that had been answered already
}

// Write implements net.Conn.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	full := len(p) >= fullRecordMin && len(p) <= fullRecordMax
	if !full && len(g.buf) == 0 {
		return g.Conn.Write(p)
	}
	g.buf = append(g.buf, p...)
	if full && len(g.buf) < gatherMax {
		g.hold()
		return len(p), nil
	}
	if err := g.flush(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// hold makes sure that what is held back is sent.
func (g *gathered) hold() {
	if g.timer == nil {
		g.timer = time.AfterFunc(gatherWait, g.expire)
	} else if len(g.buf) <= fullRecordMax { // the first record held
		g.timer.Reset(gatherWait)
	}
}

func (g *gathered) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.buf) > 0 && g.err == nil {
		_ = g.flush() // the next write fails with it
	}
}

func (g *gathered) flush() error {
	_, g.err = g.Conn.Write(g.buf)
	g.buf = g.buf[:0]
	if g.timer != nil {
		g.timer.Stop()
	}
	return g.err
}
