package apiserver

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"hyperkube/store"

	"github.com/cockroachdb/datadriven"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// contentTypes by how a line of the table names its verb.
var contentTypes = map[string]string{
	"APPLY": "application/apply-patch+yaml", "MERGE": "application/merge-patch+json",
	"STRATEGIC": "application/strategic-merge-patch+json", "JSONPATCH": "application/json-patch+json",
}

// TestPreconditions shows what every verb says to a uid and to a resourceVersion
// in its body, for an object that is there ("there", uid "live") and for one that
// is not ("gone"). None may be a 500, and none may make or remove an object that
// was not meant.
func TestPreconditions(t *testing.T) {
	revision := regexp.MustCompile(`RV`)
	datadriven.RunTest(t, "goldens/preconditions.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			s, st := newTestServerFor(t, who{}, true)
			meta := metav1.ObjectMeta{Namespace: "d", Name: "there", UID: "live"}
			st.Put("leases.coordination.k8s.io", &coordinationv1.Lease{ObjectMeta: meta})
			st.Put("deployments.apps", &appsv1.Deployment{ObjectMeta: meta})
			st.Put("configmaps", &corev1.ConfigMap{ObjectMeta: meta})
			c, _ := st.Collection("", "configmaps")
			l, err := c.List(t.Context(), store.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			line = revision.ReplaceAllString(line, fmt.Sprint(l.Revision))
			f := strings.SplitN(line, " ", 3)
			method, kind := f[0], contentTypes[f[0]]
			if kind != "" {
				method = "PATCH"
			} else {
				kind = "application/json"
			}
			r := httptest.NewRequest(method, f[1], strings.NewReader(f[2]))
			r.Header.Set("Content-Type", kind)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			fmt.Fprintf(&out, "%d %s", w.Code, reasonOf(w.Body.String()))
			for _, name := range []string{"there", "gone"} {
				if has := stored(t, st, "configmaps", name); has != (name == "there") {
					fmt.Fprintf(&out, " (%s now exists: %v)", name, has)
				}
			}
			out.WriteByte('\n')
			if w.Code >= 500 {
				t.Errorf("%s: %s", line, w.Body)
			}
		}
		return out.String()
	})
}
