package filters

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/internal/trouble"
)

// underWay bounds what requests hold of memory until their answers are gone: over HTTP/2 a
// head of a megabyte costs its sender a few hundred bytes, and an answer that is not read
// keeps all of its request.
//
// Accounts share it, and addresses share what there is for those whom nobody knows: whoever
// runs pods has as many addresses as they like. The cluster's own accounts have a part of
// their own; administrators and nodes are believed to read. Who is beyond is told so without a body, which no client can refuse to
// read; and when too many of those are not taken either, the request is given up.
type underWay struct {
	requests, own, strangers, refusals *pool
	told                               *trouble.Teller
	full                               atomic.Bool // and told so
}

func newUnderWay(log *slog.Logger) *underWay {
	return &underWay{
		requests: newPool(bounds.Requests), own: newPool(bounds.Requests / 4),
		strangers: newPool(bounds.Strangers), refusals: newPool(bounds.Requests / 4),
		told: trouble.New(log, nil, "taking requests"),
	}
}

// wrap comes after the filter that finds out who asks.
func (u *underWay) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := u.admit(w, r)
		if p == nil {
			return
		}
		defer p.leaveWith(w, r)
		trailOf(r.Context()).place = p
		next.ServeHTTP(w, r)
	})
}

// fail answers a request that gets no further than to here.
func (u *underWay) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := u.admit(w, r)
	if p == nil {
		return
	}
	defer p.leaveWith(w, r)
	codec.WriteError(w, r, err)
}

// admit gives a request its place, or answers it and returns nil.
func (u *underWay) admit(w http.ResponseWriter, r *http.Request) *place {
	p := &place{pool: u.strangers, who: source(r), n: weight(r)}
	if by := trailOf(r.Context()).by; by != nil && by.Name != request.Anonymous {
		p.pool, p.who = u.requests, account(by)
		switch classOf(by) {
		case system:
			p.pool = u.own
		case nodes, masters:
			p.left.Store(true) // nothing was taken
			return p
		}
	}
	if p.take() {
		if u.full.Load() && u.calm() && u.full.Swap(false) {
			u.told.Well()
		}
		return p
	}
	u.full.Store(true)
	u.told.Failed(fmt.Errorf("too many are under way, the most of them from %s", p.who))
	p.pool = u.refusals
	if !p.take() {
		panic(http.ErrAbortHandler)
	}
	defer p.leaveWith(w, r)
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusTooManyRequests)
	return nil
}

// calm says that most of all places are free.
func (u *underWay) calm() bool { return u.requests.calm() && u.own.calm() && u.strangers.calm() }

// leaveWith gives the place back when the answer is gone. Over HTTP/2 that is not when the
// handler returns, nor when the request's context ends: the last of the answer is sent after
// both, when its reader has room for it. An HTTP/1 connection has one request, and is
// itself counted.
func (p *place) leaveWith(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || p.left.Load() {
		p.leave()
		return
	}
	gone := streamEnd(w)
	if gone == nil {
		p.leave()
		return
	}
	go func() { // the server's timeout for answers ends it at last
		<-gone
		p.leave()
	}()
}

// streamEnd is told when the stream of an answer is closed. Nothing but the deprecated
// http.CloseNotifier knows.
func streamEnd(w http.ResponseWriter) <-chan bool {
	for {
		switch v := w.(type) {
		case http.CloseNotifier: //nolint:staticcheck
			return v.CloseNotify()
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// place is what one request holds of a pool.
type place struct {
	pool *pool
	who  string
	n    int64
	left atomic.Bool
}

func (p *place) take() bool { return p.pool.take(p.who, p.n) }

// leave gives it back, once.
func (p *place) leave() {
	if !p.left.Swap(true) {
		p.pool.leave(p.who, p.n)
	}
}

// weight is what a request holds, in units.
func weight(r *http.Request) int64 {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		n += len(name)
		for _, v := range values {
			n += len(v)
		}
	}
	return 1 + int64(n)/bounds.RequestUnit
}

func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
