package health

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestJoined: however many ask, a check runs once at a time; one who goes away or
// a check that panics spoils nothing for the others.
func TestJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs, most, now atomic.Int64
		h := Handler("readyz", slog.New(slog.DiscardHandler), []Check{{"slow", func(ctx context.Context) error {
			runs.Add(1)
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}})
		ask := func(ctx context.Context) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil).WithContext(ctx))
			return w.Code
		}
		gone, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { ask(gone) })
		synctest.Wait()
		for range 500 {
			wg.Go(func() {
				if code := ask(t.Context()); code != http.StatusOK {
					t.Errorf("%d", code)
				}
			})
		}
		synctest.Wait()
		leave()
		wg.Wait()
		if runs.Load() != 1 || most.Load() != 1 {
			t.Errorf("the check ran %d times, %d at once", runs.Load(), most.Load())
		}
		if ask(t.Context()) != http.StatusOK || runs.Load() != 2 {
			t.Error("the next one did not run the check anew")
		}
	})
}

// TestFailing: what fails, panics or does not end is told, and asked again.
func TestFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, run := range map[string]func(context.Context) error{
			"fails":  func(context.Context) error { return errors.New("no") },
			"panics": func(context.Context) error { panic("odd") },
			"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		} {
			h := Handler("livez", slog.New(slog.DiscardHandler), []Check{{name, run}})
			for _, path := range []string{"/livez", "/livez/" + name, "/livez"} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
				if w.Code != http.StatusInternalServerError {
					t.Errorf("%s %s: %d", name, path, w.Code)
				}
			}
		}
	})
}
