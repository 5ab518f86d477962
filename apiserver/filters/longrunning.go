package filters

import (
	"net/http"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
)

// longRunning bounds the requests that have no seat: watches by what they keep of memory,
// connections through the server by the files they take of the process. Each class of users has its own.
// Connections of one account also take turns to begin.
type longRunning struct {
	watches, streams [classes]*pool
	turns            *turns
	base             int64      // of watches of others than nodes and masters
	nodes            func() int // how many the cluster has; may be nil
}

func newLongRunning(watches, streams int64, nodes func() int) *longRunning {
	l := &longRunning{turns: newTurns(), base: watches, nodes: nodes}
	for c := range classes {
		l.watches[c], l.streams[c] = newPool(bounds.NodeWatches), newPool(streams)
	}
	l.watches[others] = newPool(watches)
	return l
}

func (l *longRunning) wrap(m *metrics) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info, u := request.InfoFrom(r.Context()), actor(r.Context())
			if !LongRunning(info) {
				next.ServeHTTP(w, r)
				return
			}
			p := &place{pool: l.streams[classOf(u)], who: account(u), n: 1}
			if info.Verb == "watch" {
				selectors := len(info.LabelSelector) + len(info.FieldSelector)
				p.pool, p.n = l.watches[classOf(u)], weight(r)+int64(selectors*bounds.SelectorCost/bounds.RequestUnit)
			}
			if !p.take() && !l.more(p) {
				refuse(w, r, m)
				return
			}
			defer p.leave()
			if short := trailOf(r.Context()).place; short != nil {
				short.leave() // it is counted here now
			}
			if info.Verb != "watch" && classOf(u) == others {
				done, err := l.turns.take(r.Context(), account(u))
				if err != nil {
					panic(http.ErrAbortHandler) // nobody waits for the answer
				}
				defer done()
			}
			next.ServeHTTP(w, r.WithContext(request.WithAccount(r.Context(), account(u))))
		})
	}
}

// more takes once again, with the room that there is for as many nodes as there are now.
func (l *longRunning) more(p *place) bool {
	if p.pool != l.watches[others] || l.nodes == nil {
		return false
	}
	p.pool.resize(l.base + int64(l.nodes())*bounds.WatchesPerNode)
	return p.take()
}
