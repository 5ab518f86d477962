package filters

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hyperkube/internal/bounds"
)

// However much there is to warn of, the header stays small, and says what it lacks.
func TestWarningsAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		n, size int
		told    int
		cut     bool
	}{
		"few":          {3, 10, 3, false},
		"very many":    {100_000, 10, bounds.Warnings + 1, true},
		"long ones":    {100, 2000, 9, true},
		"one too long": {1, 1 << 20, 1, false},
	} {
		h := http.Header{}
		for i := range c.n {
			addWarning(h, fmt.Sprintf("%0*d", c.size, i))
			addWarning(h, fmt.Sprintf("%0*d", c.size, i)) // tried again
		}
		all := h.Values("Warning")
		if len(all) != c.told || strings.Contains(all[len(all)-1], leftOut) != c.cut {
			t.Errorf("%s: %d warnings, the last is %.100s", name, len(all), all[len(all)-1])
		}
		if len(all) > 80 { // an answer has others, and there are clients that take no more than 100
			t.Errorf("%s: %d headers", name, len(all))
		}
		if n := len(strings.Join(all, "")); n > bounds.WarningBytes+100 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}
