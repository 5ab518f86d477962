package filters

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hyperkube/apiserver/request"

	"github.com/cockroachdb/datadriven"
)

// asked notes what an authorizer is asked, and allows all of it.
type asked struct{ what []string }

func (a *asked) Authorize(_ context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	q := fmt.Sprintf("%s %s/%s", i.Verb, i.Group, i.Resource)
	if i.Subresource != "" {
		q += "/" + i.Subresource
	}
	a.what = append(a.what, strings.TrimSpace(fmt.Sprintf("%s: %s %s/%s", u.Name, q, i.Namespace, i.Name)))
	return request.Allow, "", nil
}

// TestImpersonationRights shows which permissions each way to act as somebody else
// takes, as whom the request goes on, and what is refused without asking.
func TestImpersonationRights(t *testing.T) {
	datadriven.RunTest(t, "testdata/impersonate.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			a := &asked{}
			var as *request.User
			h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"u"}, Authorizer: a}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				as = request.UserFrom(r.Context())
			}))
			var headers []string
			for _, f := range strings.Fields(line) {
				k, v, _ := strings.Cut(f, "=")
				headers = append(headers, "Impersonate-"+k, v)
			}
			code := send(h, "GET", "/api/v1/namespaces/d/pods/p", headers...).Code
			fmt.Fprintf(&out, "%s: %d\n", line, code)
			slices.Sort(a.what)
			for _, q := range a.what {
				fmt.Fprintf(&out, "  asks %s\n", q)
			}
			if as != nil {
				fmt.Fprintf(&out, "  goes on as %q uid=%q groups=%q extra=%q\n", as.Name, as.UID, as.Groups, as.Extra)
			}
		}
		return out.String()
	})
}
