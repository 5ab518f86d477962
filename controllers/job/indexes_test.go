package job

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestIndexesAgreeWithASet: the spans do what a plain set would.
func TestIndexesAgreeWithASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (indexes, map[int]bool) {
			set := map[int]bool{}
			list := rapid.SliceOf(rapid.IntRange(0, 30)).Draw(t, name)
			for _, i := range list {
				set[i] = true
			}
			slices.Sort(list)
			return indexes(nil).with(list), set
		}
		x, in := draw("x")
		y, also := draw("y")
		if got := parseIndexes(x.String(), 31); got.String() != x.String() {
			t.Fatalf("%q is read as %q", x, got)
		}
		joined, shared := x.join(y), 0
		for i := range 31 {
			if x.has(i) != in[i] || joined.has(i) != (in[i] || also[i]) {
				t.Fatalf("%d in %q and %q", i, x, joined)
			}
			if in[i] && also[i] {
				shared++
			}
		}
		if x.count() != len(in) || x.shared(y) != shared {
			t.Fatalf("%q has %d, %d of them in %q", x, x.count(), x.shared(y), y)
		}
	})
}
