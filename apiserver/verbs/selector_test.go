package verbs

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"
)

// TestLabelMatcher: the short way finds what the selector finds.
func TestLabelMatcher(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "c"})
	term := rapid.SampledFrom([]string{"a=a", "a==b", "b in (c)", "b in (a,c)", "c", "!c", "c!=a", "a notin (a)", "b="})
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for _, s := range rapid.SliceOfN(term, 0, 3).Draw(t, "terms") {
			if text != "" {
				text += ","
			}
			text += s
		}
		selector, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		m := rapid.MapOf(word, rapid.SampledFrom([]string{"a", "b", "c", ""})).Draw(t, "labels")
		if got, want := labelMatcher(selector)(m), selector.Matches(labels.Set(m)); got != want {
			t.Fatalf("%q on %v: %v", text, m, got)
		}
	})
}
