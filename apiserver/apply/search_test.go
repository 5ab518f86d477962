package apply

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	corev1 "k8s.io/api/core/v1"
)

// TestIndexed: the index finds what looking through finds.
func TestIndexed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringMatching(`[fvk]:[a"\\]{0,3}`), 1, 20).Draw(t, "keys")
		var want []set
		for _, k := range keys {
			want = append(want, set{key: k})
		}
		index := indexed(want)
		for _, raw := range append(rapid.SliceOfN(rapid.StringMatching(`[fvk]:[a"\\]{0,5}`), 1, 20).Draw(t, "raw"), keys...) {
			if a, b := lookup(want, raw), index[raw]; a != b {
				t.Fatalf("%q: %v by looking through, %v by the index", raw, a, b)
			}
		}
	})
}

// TestLongLists: what a write of long lists takes grows with their length, not its square.
func TestLongLists(t *testing.T) {
	m, byName := newManager(t)
	k := byName["ConfigMap"]
	write := func(n int) time.Duration {
		live := &corev1.ConfigMap{}
		live.UID = "u"
		for i := range n {
			live.Finalizers = append(live.Finalizers, fmt.Sprint("a.b/x", i))
		}
		m.Record(k, "", nil, live, "m", noon)
		best := time.Hour
		for range 5 { // whatever else the machine does
			obj := live.DeepCopy()
			obj.Finalizers = nil
			start := time.Now()
			if !m.fast(k, "", live, obj, "m", noon) {
				t.Fatal("left to the library")
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	if d := write(40_000); d > 2*time.Second { // some 60 ms; with the square 5 s and more
		t.Errorf("40000 finalizers take %v", d)
	}
}
