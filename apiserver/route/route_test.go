package route

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestParse shows what request lines mean: "METHOD path" in, the Info out.
func TestParse(t *testing.T) {
	datadriven.RunTest(t, "testdata/lines.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			method, target, _ := strings.Cut(line, " ")
			i := Parse(httptest.NewRequest(method, target, nil))
			if !i.IsResource {
				fmt.Fprintf(&out, "%s path %s group=%q version=%q\n", i.Verb, i.Path, i.Group, i.Version)
				continue
			}
			fmt.Fprintf(&out, "%s %s/%s", i.Verb, i.Group, i.Version)
			for _, f := range [][2]string{{"ns", i.Namespace}, {"resource", i.Resource}, {"name", i.Name}, {"sub", i.Subresource},
				{"rest", i.Rest}, {"fields", i.FieldSelector}, {"labels", i.LabelSelector}} {
				if f[1] != "" {
					fmt.Fprintf(&out, " %s=%s", f[0], f[1])
				}
			}
			out.WriteByte('\n')
		}
		return out.String()
	})
}

func FuzzParse(f *testing.F) {
	for _, p := range []string{"/api/v1/pods", "/apis/apps/v1/namespaces/a/deployments/b/scale", "//", "/api/v1/namespaces//", "/apis/a/b/watch/c/d/e/f/g"} {
		f.Add("GET", p, "watch=1&fieldSelector=metadata.name%3Dx")
	}
	f.Fuzz(func(t *testing.T, method, path, query string) {
		i := Parse(&http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}})
		if i == nil || i.IsResource && (i.Version == "" && i.Group == "" && i.APIPrefix == "") {
			t.Errorf("%+v", i)
		}
		if strings.Contains(i.Namespace+i.Resource+i.Subresource, "/") {
			t.Errorf("a part holds a slash: %+v", i)
		}
	})
}
