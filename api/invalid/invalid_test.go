package invalid

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/internal/bounds"
)

// However many errors there are and however large the values, the answer stays small.
func TestInvalidIsBounded(t *testing.T) {
	path := field.NewPath("spec", "items")
	for name, c := range map[string]struct {
		n     int
		value string
		lists int
		more  string
	}{
		"few":         {3, "x", 3, ""},
		"very many":   {200_000, "x", bounds.Errors + 1, "and 199900 more errors"},
		"large value": {1, strings.Repeat("x", 2<<20), 1, ""},
		"both":        {1000, strings.Repeat("x", 10<<10), 26, "more errors"},
	} {
		t.Run(name, func(t *testing.T) {
			var errs field.ErrorList
			for i := range c.n {
				errs = append(errs, field.Invalid(path.Index(i), c.value, "is odd"))
			}
			status := New(schema.GroupKind{Kind: "Pod"}, "p", errs).(*apierrors.StatusError).Status()
			if n := len(status.Details.Causes); n != c.lists {
				t.Errorf("lists %d causes, want %d", n, c.lists)
			}
			if len(status.Message) > 2*bounds.ErrorBytes {
				t.Errorf("a message of %d bytes", len(status.Message))
			}
			if !strings.Contains(status.Message, c.more) || !strings.Contains(status.Message, "spec.items[0]") {
				t.Errorf("the message does not tell: %.300s", status.Message)
			}
		})
	}
}
