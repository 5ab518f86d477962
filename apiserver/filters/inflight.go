package filters

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/stall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// inflight refuses with 429 what would exceed the limits.
func inflight(reads, writes int64, m *metrics) func(http.Handler) http.Handler {
	forReads, forWrites := newSeats(reads), newSeats(writes)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info := request.InfoFrom(r.Context())
			if LongRunning(info) || healthCheck(info) {
				next.ServeHTTP(w, r)
				return
			}
			s, now := forReads, &m.reads
			if !readOnly(info.Verb) {
				s, now = forWrites, &m.writes
			}
			u := actor(r.Context())
			if !s.take(u) {
				refuse(w, r, m)
				return
			}
			defer s.leave(u)
			if s == forWrites && !ofTheSystem(u) {
				r = r.WithContext(request.WithAccount(r.Context(), account(u)))
			}
			now.Add(1)
			defer now.Add(-1)
			next.ServeHTTP(w, r)
		})
	}
}

func refuse(w http.ResponseWriter, r *http.Request, m *metrics) {
	m.refuse(request.InfoFrom(r.Context()))
	codec.WriteError(w, r, apierrors.NewTooManyRequests("Too many requests, please try again later.", 1))
}

func readOnly(verb string) bool {
	return verb == "get" || verb == "list" || verb == "watch" || verb == "head"
}

// AnswerTime is how long a request with this timeout may take until its answer is gone;
// 0 means the timeout that a Config without one has. The http.Server's WriteTimeout must be
// no less: it is what ends answers that wait for their reader after the handler is done.
func AnswerTime(timeout time.Duration) time.Duration {
	if timeout == 0 {
		timeout = requestTime
	}
	return timeout + 2*readerTime
}

// requestTime is the timeout of requests when none is configured.
const requestTime = time.Minute

// readerTime is what a client has left to read its answer after the time of its
// request is over.
const readerTime = 10 * time.Second

// timeout ends what takes too long; a client may ask for less with ?timeout=. An
// answer that is not read is cut, or it would keep its place.
func timeout(most time.Duration, under *underWay) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if LongRunning(request.InfoFrom(r.Context())) {
				_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the server's is for the others; fails only on test writers
				next.ServeHTTP(w, r)
				return
			}
			d := most
			if strings.Contains(r.URL.RawQuery, "timeout=") {
				if asked := r.URL.Query().Get("timeout"); asked != "" {
					want, err := time.ParseDuration(asked)
					if err != nil || want < 0 {
						under.fail(w, r, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL: %q", asked)))
						return
					}
					if want > 0 && want < d {
						d = want
					}
				}
			}
			ctx, cancel := context.WithTimeout(r.Context(), d)
			defer cancel()
			unread := stall.New(w, d+readerTime)
			defer unread.Close()
			unread.Begin()
			if r.ContentLength != 0 {
				defer boundBody(ctx, w, r, d)()
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// boundBody ends the reading of a body that does not come within d.
func boundBody(ctx context.Context, w http.ResponseWriter, r *http.Request, d time.Duration) (stop func()) {
	if r.ProtoMajor == 1 { // Close would wait for the reader
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d)) // fails only on test writers
		return func() {}
	}
	body := r.Body
	cancel := context.AfterFunc(ctx, func() { body.Close() })
	return func() { cancel() }
}
