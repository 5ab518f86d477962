package filters

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"hyperkube/internal/bounds"
	"hyperkube/internal/trouble"
)

// underWay bounds what requests hold of memory from the arrival of their heads until their
// answers are gone, whoever sent them: over HTTP/2 a head of a megabyte costs its sender
// a few hundred bytes, and an answer that is not read keeps all of its request.
//
// Addresses share it, since nobody is known yet. Who is beyond is told so without a body,
// which no client can refuse to read; and when too many of those are not taken either, the
// request is given up.
type underWay struct {
	requests, refusals *pool
	told               *trouble.Teller
	full               atomic.Bool // and told so
}

func newUnderWay(log *slog.Logger) *underWay {
	return &underWay{
		requests: newPool(bounds.Requests), refusals: newPool(bounds.Requests / 4),
		told: trouble.New(log, nil, "taking requests"),
	}
}

func (u *underWay) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &place{pool: u.requests, who: source(r), n: weight(r)}
		in := p.take()
		if !in {
			u.full.Store(true)
			u.told.Failed(fmt.Errorf("too many are under way, the most of them from %s", p.who))
			p.pool = u.refusals
			if !p.take() {
				panic(http.ErrAbortHandler)
			}
		}
		// The answer is gone when the request's context ends, not when its handler returns.
		if r.Context().Done() == nil {
			defer p.leave()
		} else {
			context.AfterFunc(r.Context(), p.leave)
		}
		if !in {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if u.full.Load() && u.requests.calm() && u.full.Swap(false) {
			u.told.Well()
		}
		trailOf(r.Context()).place = p
		next.ServeHTTP(w, r)
	})
}

// place is what one request holds of a pool.
type place struct {
	pool *pool
	who  string
	n    int64
	once sync.Once
}

func (p *place) take() bool { return p.pool.take(p.who, p.n) }

// leave gives it back, once.
func (p *place) leave() { p.once.Do(func() { p.pool.leave(p.who, p.n) }) }

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
