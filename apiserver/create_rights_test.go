package apiserver

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestCreateRights shows who may make an object in each of the ways in which a
// request can: the users are named by the verbs they have. Whoever makes one needs
// create, whatever the method.
func TestCreateRights(t *testing.T) {
	datadriven.RunTest(t, "goldens/create.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			f := strings.SplitN(line, " ", 3)
			method, kind := f[0], contentTypes[f[0]]
			if kind != "" {
				method = "PATCH"
			} else {
				kind = "application/json"
			}
			fmt.Fprintf(&out, "%s:", f[0])
			for _, user := range []string{"create", "update", "patch", "get+list+watch", "create+update", "create+patch", "update+patch"} {
				w := newWhole(t)
				w.s.o.Authorizer, w.s.o.Registry = verbsOf{}, nil
				s, err := New(w.s.o)
				if err != nil {
					t.Fatal(err)
				}
				r := httptest.NewRequest(method, f[1], strings.NewReader(f[2]))
				r.Header.Set("Content-Type", kind)
				r.Header.Set("X-User", user)
				before := w.mark()
				code := codeOf(s, r)
				fmt.Fprintf(&out, " %s=%d", user, code)
				if made := w.mark() != before; made != (code == 201) {
					t.Errorf("%s by %s: %d, made %v", line, user, code, made)
				}
				if code == 201 && !strings.Contains(user, "create") {
					t.Errorf("%s made an object without create", user)
				}
			}
			out.WriteByte('\n')
		}
		return out.String()
	})
}
