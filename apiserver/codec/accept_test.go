package codec

import (
	"net/http/httptest"
	"strings"
	"testing"

	"hyperkube/internal/bounds"
)

// TestAccept: all lines are one list; of very long ones whole clauses are kept, the first.
func TestAccept(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"none":     {nil, ""},
		"one":      {[]string{"application/json"}, "application/json"},
		"two":      {[]string{"a/b", "application/yaml, */*"}, "a/b,application/yaml, */*"},
		"a bomb":   {[]string{strings.Repeat("a/b;q=0.1,", 100_000)}, strings.TrimSuffix(strings.Repeat("a/b;q=0.1,", bounds.Accept/10), ",")},
		"repeated": {repeat("application/yaml,"+strings.Repeat("a/b;q=0.1,", 300), 300), ""},
		"a clause": {[]string{strings.Repeat("a", 1<<20)}, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Accept"] = c.lines
		got := Accept(r)
		if name == "repeated" {
			if len(got) > bounds.Accept || !strings.HasPrefix(got, c.lines[0]) || strings.HasSuffix(got, "q=0") {
				t.Errorf("%s: %d bytes", name, len(got))
			}
			if m, err := Negotiate(r, Plain); err != nil || m.Wire != YAML {
				t.Errorf("%s: %+v %v", name, m, err)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s: %.60q of %d bytes, want %d", name, got, len(got), len(c.want))
		}
	}
}

func repeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}
