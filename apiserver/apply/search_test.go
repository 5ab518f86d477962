package apply

import (
	"fmt"
	"strings"
	"testing"

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

// TestLongLists: keys of long lists are not compared one by one, but for the first few of each list.
func TestLongLists(t *testing.T) {
	const n = 4000
	var want []set
	var text strings.Builder
	for i := range n {
		key := fmt.Sprintf("v:%d", i)
		want = append(want, set{key: key, member: true})
		fmt.Fprintf(&text, `%c"%s":{}`, "{,"[min(i, 1)], key)
	}
	text.WriteString("}")
	p := parser{text: text.String()}
	if _, found, ok := p.search(want); !ok || found != n {
		t.Fatalf("%d of %d found, %t", found, n, ok)
	}
	if p.compared > few*n {
		t.Errorf("%d keys were compared with %d elements", n, p.compared)
	}
}

// BenchmarkLongLists clears 40000 finalizers, as a merge patch of a few bytes does.
func BenchmarkLongLists(b *testing.B) {
	m, byName := newManager(b)
	k := byName["ConfigMap"]
	live := &corev1.ConfigMap{}
	live.UID = "u"
	for i := range 40_000 {
		live.Finalizers = append(live.Finalizers, fmt.Sprint("a.b/x", i))
	}
	m.Record(k, "", nil, live, "m", noon)
	for b.Loop() {
		obj := live.DeepCopy()
		obj.Finalizers = nil
		if !m.fast(k, "", live, obj, "m", noon) {
			b.Fatal("left to the library")
		}
	}
}
