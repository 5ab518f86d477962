package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// verbsOf is an authorizer for users who are named by the verbs they have: "get+create".
type verbsOf struct{}

func (verbsOf) Authorize(_ context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	if slices.Contains(strings.Split(u.Name, "+"), i.Verb) {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "", nil
}

// upgrades are the ways in which a client may ask for a connection.
var upgrades = []struct{ name, upgrade string }{{"plain", ""}, {"websocket", "websocket"}, {"spdy", "SPDY/3.1"}}

// TestConnectionRights shows for every connecting subresource, method and way to
// connect which verbs let a user through.
func TestConnectionRights(t *testing.T) {
	all := kinds.All()
	st := storetest.New()
	registered := served(t, st, all)
	meta := metav1.ObjectMeta{Namespace: "d", Name: "x"}
	st.Put("pods", &corev1.Pod{ObjectMeta: meta})
	st.Put("services", &corev1.Service{ObjectMeta: meta})
	st.Put("nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "x"}})
	s, err := New(Options{Store: st, Served: registered, Authenticator: who{}, Authorizer: verbsOf{},
		Connect: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) })})
	if err != nil {
		t.Fatal(err)
	}
	datadriven.RunTest(t, "goldens/connections.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for _, k := range all {
			for i := range k.Subresources {
				if sub := &k.Subresources[i]; sub.Connect != nil {
					connections(&out, s, k, sub)
				}
			}
		}
		return out.String()
	})
}

func connections(out *strings.Builder, s *Server, k *kind.Kind, sub *kind.Subresource) {
	path := "/api/v1/" + k.Plural + "/x/" + sub.Name
	if k.Namespaced {
		path = "/api/v1/namespaces/d/" + k.Plural + "/x/" + sub.Name
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
		fmt.Fprintf(out, "%s/%s %s:", k.Plural, sub.Name, method)
		for _, u := range upgrades {
			var through []string
			last := 0
			for _, user := range []string{"get", "create", "get+create", "update", "patch", "delete", "list+watch"} {
				r := httptest.NewRequest(method, path, nil)
				r.Header.Set("X-User", user)
				if u.upgrade != "" {
					r.Header.Set("Connection", "Upgrade")
					r.Header.Set("Upgrade", u.upgrade)
				}
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				if w.Code == http.StatusOK {
					through = append(through, user)
				} else if w.Code != http.StatusForbidden {
					last = w.Code
				}
			}
			fmt.Fprintf(out, " %s=%s", u.name, strings.Join(through, ","))
			if last != 0 {
				fmt.Fprintf(out, "(%d)", last)
			}
		}
		out.WriteByte('\n')
	}
}
