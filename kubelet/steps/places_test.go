package steps

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/internal/bounds"
)

// TestPlacesTakeTurns: a namespace with many starts, each of which hangs, keeps another waiting for one of its own, and
// what was waited for in vain is not lost.
func TestPlacesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			p   places
			mu  sync.Mutex
			got []string
		)
		start := time.Now()
		ask := func(ctx context.Context, namespace string, n int) {
			go func() {
				if _, err := p.take(ctx, namespace, n); err == nil {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, fmt.Sprintf("%s after %v", namespace, time.Since(start)))
				}
			}()
			synctest.Wait()
		}
		for range 3 {
			ask(t.Context(), "greedy", 2*bounds.SubPathsAtOnce)
		}
		gone, cancel := context.WithCancel(t.Context())
		ask(gone, "impatient", 1)
		ask(t.Context(), "modest", 1)
		cancel()
		time.Sleep(5 * holding)
		synctest.Wait()
		want := []string{"greedy after 0s", "greedy after 10s", "modest after 20s", "greedy after 30s"}
		// Who came while the greedy one's second already waited comes after it, and before its third.
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if p.used != 0 || len(p.order) != 0 || len(p.waiting) != 0 {
			t.Errorf("left: %d, %v, %v", p.used, p.order, p.waiting)
		}
	})
}

// TestPlacesAreGivenBackOnce: a start that is over gives its places to others at once, and no second time.
func TestPlacesAreGivenBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p places
		first, err := p.take(t.Context(), "a", bounds.SubPathsAtOnce)
		if err != nil {
			t.Fatal(err)
		}
		first()
		second, err := p.take(t.Context(), "b", 7)
		first()
		time.Sleep(2 * time.Second)
		if err != nil || p.used != 7 {
			t.Errorf("%d are used, %v", p.used, err)
		}
		second()
		time.Sleep(2 * holding)
		if p.used != 0 {
			t.Errorf("%d are used", p.used)
		}
	})
}
