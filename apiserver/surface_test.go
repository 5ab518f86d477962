package apiserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hyperkube/apiserver/filters"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/route"

	"github.com/cockroachdb/datadriven"
)

// TestSurface shows for every kind and version what each method says on the
// collection, on an object that is not there and on each subresource, to somebody
// who may do everything: what is served at all is what has no 404 or 405 on the
// collection and no 405 below. "~" marks requests that have no time limit and take
// no seat. Somebody who may do nothing gets 403 everywhere.
func TestSurface(t *testing.T) {
	datadriven.RunTest(t, "goldens/surface.txt", func(t *testing.T, d *datadriven.TestData) string {
		w := newWhole(t)
		w.s.verbs.Connect = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) })
		var out strings.Builder
		for _, k := range w.kinds {
			names := []kind.Names{k.Names}
			for i := range k.Versions {
				names = append(names, k.Versions[i].Names)
			}
			for _, n := range names {
				surfaceOf(w, &out, k, n)
			}
		}
		return out.String()
	})
}

func surfaceOf(w *whole, out *strings.Builder, k *kind.Kind, n kind.Names) {
	base := "/apis/" + n.Group + "/" + n.Version + "/"
	if n.Group == "" {
		base = "/api/" + n.Version + "/"
	}
	if n.Namespaced {
		base += "namespaces/none/"
	}
	below := []string{"", "/x", "/x/status", "/x/scale", "/x/nonsense", "/x/status/more"}
	for _, sub := range k.Subresources {
		below = append(below, "/x/"+sub.Name)
	}
	fmt.Fprintf(out, "%s\n", n.GVR())
	for _, b := range below {
		fmt.Fprintf(out, "  %-16s", b)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} {
			r := httptest.NewRequest(method, base+n.Plural+b, strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/merge-patch+json")
			mark := ""
			if filters.LongRunning(route.Parse(r)) {
				mark = "~"
			}
			denied := r.Clone(r.Context())
			denied.Header.Set("X-User", "nobody")
			fmt.Fprintf(out, " %s=%s%d", method, mark, codeOf(w.s, r))
			if code := codeOf(w.s, denied); code != http.StatusForbidden {
				w.t.Errorf("%s %s says %d to who may do nothing", method, r.URL.Path, code)
			}
		}
		out.WriteByte('\n')
	}
}

func codeOf(s *Server, r *http.Request) int {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Code
}
