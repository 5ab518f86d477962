package filters

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/internal/bounds"
)

// TestTurns: an account's beginnings take turns, another's do not wait for them; nothing of
// those who are gone is kept.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, start := newTurns(), time.Now()
		begun := make(chan time.Duration, 100)
		for range 3 * bounds.Beginnings {
			go func() { // connections that stay
				done, err := turns.take(t.Context(), "many")
				if err != nil {
					t.Error(err)
					return
				}
				begun <- time.Since(start)
				time.Sleep(time.Hour)
				done()
			}()
		}
		synctest.Wait()
		if len(begun) != bounds.Beginnings {
			t.Errorf("%d have begun at once", len(begun))
		}
		for range 100 * bounds.Beginnings {
			done, err := turns.take(t.Context(), "other") // one after another
			if err != nil {
				t.Fatal(err)
			}
			done()
			done()
		}
		if time.Since(start) > 0 {
			t.Errorf("another account waited %v", time.Since(start))
		}
		gone, leave := context.WithTimeout(t.Context(), bounds.BeginningTime/2)
		defer leave()
		if _, err := turns.take(gone, "many"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who has gone away gets %v", err)
		}
		time.Sleep(2 * bounds.BeginningTime)
		synctest.Wait()
		for i := range 3 * bounds.Beginnings {
			if at, want := <-begun, time.Duration(i/bounds.Beginnings)*bounds.BeginningTime; at != want {
				t.Errorf("the %d. began after %v, want %v", i, at, want)
			}
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(turns.of) > 0 {
			t.Errorf("%d accounts are remembered", len(turns.of))
		}
	})
}
