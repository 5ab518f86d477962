package codec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hyperkube/store"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

var odd = []string{"", "x", "1e3", "yes", "null", "a: b", "- a", "#", "two\nlines\n", "  indented\n\n\nmore", "tab\t", "é\u2028\U0001F600", "<&>", "'\"\\", "trailing ",
	strings.Repeat("long text that would be folded ", 20), "|", "...", "---\n", "items: []\n", "\nrows: []\n"}

// TestReadableLikeTheWhole: a list or table streamed for eyes is what encoding it at once
// would give.
func TestReadableLikeTheWhole(t *testing.T) {
	v, _ := configMaps(t)
	rapid.Check(t, func(t *rapid.T) {
		var entries []*store.Entry
		for i := range rapid.IntRange(0, 4).Draw(t, "entries") {
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("a", i), ResourceVersion: FormatRevision(int64(i + 1))}}
			for j := range rapid.IntRange(0, 3).Draw(t, "keys") {
				if m.Data == nil {
					m.Data, m.Annotations = map[string]string{}, map[string]string{}
				}
				m.Data[fmt.Sprint("k", j)] = rapid.SampledFrom(odd).Draw(t, "value")
				m.Annotations[fmt.Sprint("k", j)] = rapid.SampledFrom(odd).Draw(t, "annotation")
			}
			entries = append(entries, store.NewEntry(m, int64(i+1)))
		}
		list := &store.List{Revision: 9, Entries: slices.Values(entries), Continue: rapid.SampledFrom(odd).Draw(t, "continue")}
		shape := rapid.SampledFrom([]Shape{Whole, Partial, Table}).Draw(t, "shape")
		base := Media{Shape: shape, Version: "v1", Objects: rapid.SampledFrom([]metav1.IncludeObjectPolicy{metav1.IncludeNone, metav1.IncludeMetadata, metav1.IncludeObject}).Draw(t, "objects")}
		var compact bytes.Buffer
		if _, err := v.WriteList(&compact, base, list, nil); err != nil {
			t.Fatal(err)
		}
		for _, m := range []Media{{Wire: YAML}, {Pretty: true}} {
			m.Shape, m.Version, m.Objects = base.Shape, base.Version, base.Objects
			want, err := appendReadable(nil, m, bytes.TrimSuffix(compact.Bytes(), []byte("\n")))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if _, err := v.WriteList(&got, m, list, nil); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("%+v:\n%s\nwant\n%s", m, got.Bytes(), want)
			}
		}
	})
}

// TestListsAreNotHeld: whatever its form, of a large list only a piece is in memory.
func TestListsAreNotHeld(t *testing.T) {
	v, _ := configMaps(t)
	const one = 20 << 10
	var entries []*store.Entry
	for i := range 200 {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("a", i)}, Data: map[string]string{"k": strings.Repeat("x", one)}}
		entries = append(entries, store.NewEntry(m, int64(i+1)))
	}
	list := &store.List{Revision: 9, Entries: slices.Values(entries)}
	for _, m := range []Media{{}, {Pretty: true}, {Wire: YAML}, {Wire: Proto},
		{Shape: Table, Version: "v1", Objects: metav1.IncludeObject}, {Shape: Table, Version: "v1", Objects: metav1.IncludeObject, Wire: YAML}} {
		var w largest
		buf, err := v.WriteList(&w, m, list, nil)
		if err != nil || w.all < len(entries)*one {
			t.Fatalf("%+v: %d bytes, %v", m, w.all, err)
		}
		if cap(buf) > 8*one || w.piece > pieceSize {
			t.Errorf("%+v: a buffer of %d bytes for entries of %d, a write of %d", m, cap(buf), one, w.piece)
		}
	}
}

type largest struct{ all, piece int }

func (l *largest) Write(p []byte) (int, error) {
	l.all += len(p)
	l.piece = max(l.piece, len(p))
	return len(p), nil
}
