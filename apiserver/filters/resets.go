package filters

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"hyperkube/internal/bounds"
)

// connection counts the streams that a client gave up before they were answered.
type connection struct {
	conn net.Conn

	mu      sync.Mutex
	credit  float64
	at      time.Time
	closing bool
}

type connectionKey struct{}

// goawayTime is what the other streams of a connection that is ended have left.
const goawayTime = time.Second

// ConnContext is the http.Server's: it lets the filter know a request's connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{conn: c, credit: bounds.Resets, at: time.Now()})
}

// resets ends an HTTP/2 connection whose client opens streams only to give them
// up: such streams do not count against the limit of streams, but each costs work.
func resets(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*connection)
		if !ok || r.ProtoMajor != 2 {
			next.ServeHTTP(w, r)
			return
		}
		if c.ending() {
			w.Header().Set("Connection", "close") // becomes a GOAWAY
		}
		if r.Context().Err() == nil { // else: given up before it began
			next.ServeHTTP(w, r)
		}
		if r.Context().Err() != nil && c.gaveUp(time.Now()) {
			// Streams that begin after the GOAWAY are not served. When this answer has
			// begun already, the next one says it.
			w.Header().Set("Connection", "close")
			time.AfterFunc(goawayTime, func() { c.conn.Close() })
		}
	})
}

func (c *connection) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// gaveUp counts one stream and reports, once, that the connection is to be ended.
func (c *connection) gaveUp(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.credit = min(bounds.Resets, c.credit+now.Sub(c.at).Seconds()*bounds.ResetsPerSecond) - 1
	c.at = now
	if c.credit >= 0 || c.closing {
		return false
	}
	c.closing = true
	return true
}
