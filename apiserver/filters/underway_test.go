package filters

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/internal/bounds"
)

// TestAnswersNotTaken: requests whose answers are not taken stay counted after their
// handlers are done; what one address holds has an end, and another one gets in.
func TestAnswersNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"get pods"}},
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		untaken, taken := context.WithCancel(t.Context())
		ask := func(from string, head int) (w *httptest.ResponseRecorder, gaveUp bool) {
			r := httptest.NewRequestWithContext(untaken, "GET", "/api/v1/namespaces/d/pods/p", nil)
			r.RemoteAddr = from + ":1"
			r.Header.Set("Cookie", strings.Repeat("x", head))
			w = httptest.NewRecorder()
			defer func() {
				err, _ := recover().(error)
				gaveUp = errors.Is(err, http.ErrAbortHandler)
			}()
			h.ServeHTTP(w, r)
			return w, false
		}
		var in, refused, gaveUp int
		for range 400 {
			w, up := ask("192.0.2.7", 1<<20)
			switch {
			case up:
				gaveUp++
			case w.Code == http.StatusOK:
				in++
			case w.Code == http.StatusTooManyRequests && w.Body.Len() == 0 && w.Header().Get("Retry-After") == "1":
				refused++
			default:
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		if most := bounds.Requests / 2 * bounds.RequestUnit >> 20; in < most*9/10 || in > most {
			t.Errorf("%d heads of a megabyte are held for one address", in)
		}
		if refused == 0 || gaveUp == 0 || refused+gaveUp != 400-in {
			t.Errorf("%d were refused, %d given up", refused, gaveUp)
		}
		if w, _ := ask("192.0.2.8", 100); w.Code != http.StatusOK {
			t.Errorf("another address: %d", w.Code)
		}
		taken()
		synctest.Wait()
		untaken = t.Context()
		if w, up := ask("192.0.2.7", 1<<20); up || w.Code != http.StatusOK {
			t.Errorf("after its answers are gone: %d", w.Code)
		}
	})
}

// TestWatchesAreNotUnderWay: what takes long is counted elsewhere.
func TestWatchesAreNotUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"watch pods"}},
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if p := trailOf(r.Context()).place; len(p.pool.held) > 0 {
					t.Errorf("a watch is still counted: %v", p.pool.held)
				}
			}))
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/pods?watch=1", nil)
		h.ServeHTTP(httptest.NewRecorder(), r)
	})
}

// deadlines notes the write deadlines that are set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// TestServersDeadline: the server's deadline for answers is not that of a watch.
func TestServersDeadline(t *testing.T) {
	h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"watch pods", "list pods"}},
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for path, want := range map[string]int{"/api/v1/pods?watch=1": 1, "/api/v1/pods": 0} {
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(d, httptest.NewRequest("GET", path, nil))
		if len(d.set) != want || want == 1 && !d.set[0].IsZero() {
			t.Errorf("%s: %v", path, d.set)
		}
	}
}
