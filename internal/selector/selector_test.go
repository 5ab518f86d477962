package selector_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	"hyperkube/internal/selector"
)

// TestMatches: the answers are those of the compiled selector, which selects nothing when
// it does not compile.
func TestMatches(t *testing.T) {
	key, value := rapid.SampledFrom([]string{"a", "b", "c"}), rapid.SampledFrom([]string{"x", "y", ""})
	set := rapid.MapOfN(key, value, 0, 3)
	requirement := rapid.Custom(func(t *rapid.T) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{
			Key:      key.Draw(t, "key"),
			Operator: rapid.SampledFrom([]metav1.LabelSelectorOperator{"In", "NotIn", "Exists", "DoesNotExist", "Gt"}).Draw(t, "operator"),
			Values:   rapid.SliceOfN(value, 0, 3).Draw(t, "values"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := &metav1.LabelSelector{MatchLabels: set.Draw(t, "labels"), MatchExpressions: rapid.SliceOfN(requirement, 0, 3).Draw(t, "expressions")}
		if rapid.IntRange(0, 20).Draw(t, "none") == 0 {
			s = nil
		}
		have := set.Draw(t, "have")
		compiled, err := metav1.LabelSelectorAsSelector(s)
		want := err == nil && compiled.Matches(labels.Set(have))
		if got := selector.Matches(s, have); got != want {
			t.Fatalf("%+v selects %v: %v, compiled %v (%v)", s, have, got, want, err)
		}
		if err == nil && s != nil && compiled.Empty() != selector.Empty(s) {
			t.Fatalf("%+v is empty: %v", s, !compiled.Empty())
		}
	})
}

func BenchmarkMatches(b *testing.B) {
	s := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In"}}}
	for i := range 3000 {
		s.MatchExpressions[0].Values = append(s.MatchExpressions[0].Values, fmt.Sprintf("v%04d-aaaaaaaaaaaaaaaaaaaa", i))
	}
	have := map[string]string{"a": "y0000-aaaaaaaaaaaaaaaaaaaa"}
	for b.Loop() {
		selector.Matches(s, have)
	}
}
