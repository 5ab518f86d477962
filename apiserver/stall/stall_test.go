package stall

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

type writer struct {
	*httptest.ResponseRecorder
	cut int
}

func (w *writer) SetWriteDeadline(t time.Time) error {
	if t.Before(time.Now()) {
		w.cut++
	}
	return nil
}

// Only what takes longer than allowed is cut, and nothing after Close.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{ResponseRecorder: httptest.NewRecorder()}
		g := New(w, time.Second)
		step := func(busy, idle time.Duration, want int) {
			t.Helper()
			g.Begin()
			time.Sleep(busy)
			g.End()
			time.Sleep(idle)
			synctest.Wait()
			if w.cut != want {
				t.Errorf("cut %d times, want %d", w.cut, want)
			}
		}
		step(900*time.Millisecond, time.Hour, 0)
		step(900*time.Millisecond, 0, 0)
		step(900*time.Millisecond, 0, 0)
		step(1100*time.Millisecond, 0, 1)
		g.Begin()
		g.Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if w.cut != 1 {
			t.Error("cut after it was closed")
		}
	})
}
