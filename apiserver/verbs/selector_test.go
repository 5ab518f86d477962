package verbs

import (
	"slices"
	"strings"
	"testing"

	"hyperkube/internal/bounds"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"
)

// TestLabelMatcher: the short way finds what the selector finds.
func TestLabelMatcher(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "c"})
	term := rapid.SampledFrom([]string{"a=a", "a==b", "b in (c)", "b in (a,c)", "c", "!c", "c!=a", "a notin (a)", "b=",
		"a in (a,1,2,3,4,5,6,7,8)", "b notin (b,1,2,3,4,5,6,7,8)", "c in (1,2,3,4,5,6,7,8,9)"})
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

// TestSelectorsAreBounded: what every object and every change is asked is limited.
func TestSelectorsAreBounded(t *testing.T) {
	list := func(term, between string, n int) string {
		return strings.Join(slices.Repeat([]string{term}, n), between)
	}
	for _, c := range []struct {
		name string
		o    metav1.ListOptions
		want string
	}{
		{"as many as may be", metav1.ListOptions{LabelSelector: list("a!=b", ",", bounds.Requirements), FieldSelector: list("metadata.name!=b", ",", bounds.Requirements)}, ""},
		{"many values", metav1.ListOptions{LabelSelector: "a in (" + list("bcd", ",", 30_000) + ")"}, ""},
		{"too many labels", metav1.ListOptions{LabelSelector: list("a!=b", ",", bounds.Requirements+1)}, "labelSelector: 101 conditions are too many: at most 100"},
		{"too many fields", metav1.ListOptions{FieldSelector: list("metadata.name!=b", ",", bounds.Requirements+1)}, "fieldSelector: 101 conditions are too many: at most 100"},
		{"many brackets", metav1.ListOptions{LabelSelector: list("(", "", 30_000)}, "labelSelector: 30000 conditions are too many: at most 100"},
		{"escaped commas", metav1.ListOptions{FieldSelector: "metadata.name=" + list(`a\,`, "", 200)}, ""},
		{"too long labels", metav1.ListOptions{LabelSelector: list("a", "", bounds.Selector+1)}, "labelSelector: 131073 bytes are too many: at most 131072"},
		{"too long fields", metav1.ListOptions{FieldSelector: list("a", "", bounds.Selector+1)}, "fieldSelector: 131073 bytes are too many: at most 131072"},
	} {
		_, _, err := selectors(&c.o)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || err.Error() != c.want || !apierrors.IsBadRequest(err)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
