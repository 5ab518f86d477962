package bounds

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSeconds: more seconds are never less time, and what fits is exact.
func TestSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		if a <= b && Seconds(a) > Seconds(b) || a >= b && Seconds(a) < Seconds(b) {
			t.Fatalf("%d s is %v, %d s is %v", a, Seconds(a), b, Seconds(b))
		}
		if n := rapid.Int32().Draw(t, "n"); Seconds(int64(n)) != time.Duration(n)*time.Second {
			t.Fatalf("%d s is %v", n, Seconds(int64(n)))
		}
	})
	for _, n := range []int64{math.MaxInt64, math.MinInt64} {
		if d := Seconds(n); (d < 0) != (n < 0) {
			t.Errorf("%d s is %v", n, d)
		}
	}
}
