package stage

import (
	"runtime"
	"testing"
	"time"
)

// What a plan for a handful of objects may cost, whatever numbers its spec holds.
const (
	plannedBytes  = 16 << 20
	plannedWithin = 5 * time.Second
)

// Bounded fails the test when f allocates much or takes long: a number in a spec must not be the
// size of a list or the length of a loop.
func Bounded(t testing.TB, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		f()
	}()
	limit := time.NewTimer(20 * plannedWithin)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		t.Fatalf("does not end within %s", 20*plannedWithin)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > plannedBytes {
		t.Errorf("allocates %d MiB", n>>20)
	}
	if d := time.Since(began); d > plannedWithin {
		t.Errorf("takes %s", d)
	}
}
