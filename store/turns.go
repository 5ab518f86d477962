package store

import (
	"sync"
	"time"

	"hyperkube/internal/bounds"
)

// turns lets few watchers hand over what waits for them at the same time. A change that
// thousands watch would make thousands of goroutines ready at once, and whatever else the
// process does would wait behind all of them, again and again: a write changes goroutines
// a dozen times.
//
//	change ─▶ watcher's queue ─▶ line of its account ─┐
//	                             line of another ─────┼─▶ a turn ─▶ Next … next Next
//	                             …                    ┘
//
// Accounts are served one after the other, each in the order in which its watchers came,
// and none has all turns at once. A watcher in a line collects what else happens, to
// deliver it at once. A turn lasts from when Next returns until it is called again, or for
// a moment: who waits for its reader costs nothing, and nobody waits for it.
//
// Watchers without an account, those of this process' own roles, wait for nobody.
type turns struct {
	most, share int // at once: of all, of one account
	moment      time.Duration

	mu      sync.Mutex
	held    int
	lines   map[string]*line
	first   *line       // of those that have somebody waiting, next to be served
	last    *line       // of them
	holders chain       // in the order in which they got their turn
	timer   *time.Timer // runs while somebody waits for a turn to end
	armed   bool
}

// line is where the watchers of one account wait.
type line struct {
	account string
	held    int
	waiting chain
	queued  bool
	next    *line
}

// turn is what turns knows of a watcher.
type turn struct {
	line       *line
	state      turnState
	since      time.Time
	prev, next *watcher // of those in the same state
}

type turnState uint8

const (
	turnNone turnState = iota
	turnWaiting
	turnHeld
	turnOver // the moment is over, Next was not called again
	turnGone // stopped: it never gets another
)

func (t *turns) init(most int) {
	t.most, t.share, t.moment = most, max(1, most/2), bounds.WatchTurn
	t.lines = map[string]*line{}
}

// ask gives w a turn now (true) or later, with a signal. Asking again is asking once.
func (t *turns) ask(w *watcher) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.askLocked(w)
}

// wake asks for all of ws, and signals those that get their turn now.
func (t *turns) wake(ws []*watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range ws {
		if w.account == "" || w.turn.state == turnNone && t.askLocked(w) {
			w.signal()
		}
	}
}

func (t *turns) askLocked(w *watcher) bool {
	switch w.turn.state {
	case turnWaiting, turnGone:
		return false
	case turnHeld, turnOver:
		return true
	}
	l := t.lines[w.account]
	if l == nil {
		l = &line{account: w.account}
		t.lines[w.account] = l
	}
	w.turn.line = l
	if t.held < t.most && l.held < t.share && l.waiting.first == nil {
		t.grant(w)
		return true
	}
	w.turn.state = turnWaiting
	l.waiting.push(w)
	t.enqueue(l)
	t.arm()
	return false
}

func (t *turns) grant(w *watcher) {
	w.turn.state, w.turn.since = turnHeld, time.Now()
	t.holders.push(w)
	t.held++
	w.turn.line.held++
}

// delivers says that w has a turn, or had one that was over before it was through.
func (t *turns) delivers(w *watcher) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return w.turn.state == turnHeld || w.turn.state == turnOver
}

// done ends w's turn or its waiting.
func (t *turns) done(w *watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doneLocked(w)
}

// leave does so for good: a change that it was queued for may still be about to wake it,
// and nobody would end that turn.
func (t *turns) leave(w *watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doneLocked(w)
	w.turn.state = turnGone
}

func (t *turns) doneLocked(w *watcher) {
	l := w.turn.line
	switch w.turn.state {
	case turnNone, turnGone:
		return
	case turnWaiting:
		l.waiting.cut(w)
	case turnHeld:
		t.end(w)
	}
	w.turn.state, w.turn.line = turnNone, nil
	t.serve()
	t.forget(l)
}

// end takes the turn of a holder.
func (t *turns) end(w *watcher) {
	t.holders.cut(w)
	t.held--
	w.turn.line.held--
}

// serve gives away the turns that are free.
func (t *turns) serve() {
	for passed := (*line)(nil); t.held < t.most && t.first != nil && t.first != passed; {
		l := t.dequeue()
		w := l.waiting.first
		switch {
		case w == nil: // all of them went
			t.forget(l)
			continue
		case l.held >= t.share:
			if passed == nil {
				passed = l
			}
		default:
			l.waiting.cut(w)
			t.grant(w)
			w.signal()
			passed = nil
		}
		if l.waiting.first != nil {
			t.enqueue(l)
		}
	}
}

func (t *turns) enqueue(l *line) {
	switch {
	case l.queued:
		return
	case t.last == nil:
		t.first = l
	default:
		t.last.next = l
	}
	t.last, l.queued = l, true
}

func (t *turns) dequeue() *line {
	l := t.first
	if t.first = l.next; t.first == nil {
		t.last = nil
	}
	l.next, l.queued = nil, false
	return l
}

// forget drops a line that nobody is in.
func (t *turns) forget(l *line) {
	if l.held == 0 && l.waiting.first == nil && !l.queued {
		delete(t.lines, l.account)
	}
}

// arm has the turns looked after that last too long.
func (t *turns) arm() {
	switch {
	case t.armed:
		return
	case t.timer == nil:
		t.timer = time.AfterFunc(t.moment, t.expire)
	default:
		t.timer.Reset(t.moment)
	}
	t.armed = true
}

// expire ends the turns that have lasted their moment, for as long as somebody waits.
func (t *turns) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = false
	for now := time.Now(); t.holders.first != nil; {
		w := t.holders.first
		if now.Sub(w.turn.since) < t.moment {
			break
		}
		t.end(w)
		w.turn.state = turnOver
	}
	t.serve()
	if t.first != nil {
		t.arm()
	}
}

// chain is a list of watchers in the same state.
type chain struct{ first, last *watcher }

func (c *chain) push(w *watcher) {
	w.turn.prev, w.turn.next = c.last, nil
	if c.last == nil {
		c.first = w
	} else {
		c.last.turn.next = w
	}
	c.last = w
}

func (c *chain) cut(w *watcher) {
	if w.turn.prev == nil {
		c.first = w.turn.next
	} else {
		w.turn.prev.turn.next = w.turn.next
	}
	if w.turn.next == nil {
		c.last = w.turn.prev
	} else {
		w.turn.next.turn.prev = w.turn.prev
	}
	w.turn.prev, w.turn.next = nil, nil
}
