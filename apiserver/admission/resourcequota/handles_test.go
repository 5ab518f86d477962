package resourcequota_test

import (
	"fmt"
	"strings"
	"testing"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/resourcequota"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"

	"github.com/cockroachdb/datadriven"
)

// TestHandles shows which writes a quota looks at, over all kinds, operations and
// subresources. What is not in the list is charged to nobody.
func TestHandles(t *testing.T) {
	p := resourcequota.New(storetest.New())
	datadriven.RunTest(t, "testdata/handles.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for _, k := range kinds.All() {
			subs := []string{"", "status", "scale"}
			for _, s := range k.Subresources {
				subs = append(subs, s.Name)
			}
			var handled []string
			for _, sub := range subs {
				for _, op := range []admission.Operation{admission.Create, admission.Update, admission.Delete, admission.Connect} {
					a := &admission.Attributes{Kind: k, Info: &request.Info{IsResource: true, Group: k.Group, Resource: k.Plural, Subresource: sub},
						User: &request.User{}, Operation: op, Subresource: sub}
					switch {
					case op == admission.Delete || op == admission.Connect: // these have no object
					case sub != "" && op == admission.Create:
						a.Body = k.New()
					default:
						a.Object = k.New()
					}
					if p.Handles(a) {
						handled = append(handled, strings.TrimSpace(string(op)+" "+sub))
					}
				}
			}
			fmt.Fprintf(&out, "%s: %s\n", k.GVR().GroupResource(), strings.Join(handled, ", "))
		}
		return out.String()
	})
}
