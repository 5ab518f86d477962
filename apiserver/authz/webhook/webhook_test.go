package webhook_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hyperkube/apiserver/authz/webhook"
	"hyperkube/apiserver/request"
)

// service answers what the test says and keeps the last question.
type service struct {
	*httptest.Server
	status atomic.Value // string: the status, or an HTTP status code
	asked  atomic.Int32
	last   atomic.Value // map[string]any
}

func serve(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		body, err := io.ReadAll(r.Body)
		var q map[string]any
		if err != nil || json.Unmarshal(body, &q) != nil {
			t.Errorf("bad question: %v %s", err, body)
		}
		s.last.Store(q)
		status := s.status.Load().(string)
		var code int
		if _, err := fmt.Sscanf(status, "%d", &code); err == nil {
			http.Error(w, "no", code)
			return
		}
		fmt.Fprintf(w, `{"apiVersion":%q,"kind":"SubjectAccessReview","status":%s}`, q["apiVersion"], status)
	}))
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, s *service, version string) *webhook.Authorizer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hook.conf")
	conf := `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"k","cluster":{"server":"` + s.URL + `/decide"}}],
		"users":[{"name":"u","user":{}}],"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}]}`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := webhook.New(webhook.Config{File: file, Version: version, Authorized: time.Hour, Unauthorized: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnswers(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		for name, c := range map[string]struct {
			status string
			want   request.Decision
			reason string
			err    string
			asked  int32 // in two questions
		}{
			"allowed":    {`{"allowed":true,"reason":"friend"}`, request.Allow, "friend", "", 1},
			"denied":     {`{"allowed":false,"denied":true,"reason":"foe"}`, request.Deny, "foe", "", 1},
			"no opinion": {`{"allowed":false,"reason":"who"}`, request.NoOpinion, "who", "", 1},
			"both":       {`{"allowed":true,"denied":true}`, request.NoOpinion, "", "both allowed and denied", 2},
			"refuses":    {`403`, request.NoOpinion, "", "answered 403", 2},
			"nonsense":   {`[]`, request.NoOpinion, "", "no SubjectAccessReview", 2},
			"fails":      {`503`, request.NoOpinion, "", "answered 503", 6},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				t.Parallel()
				s := serve(t)
				s.status.Store(c.status)
				a := connect(t, s, version)
				for range 2 {
					d, reason, err := a.Authorize(t.Context(), &request.User{Name: "ann", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}},
						&request.Info{IsResource: true, Verb: "list", Group: "apps", Version: "v1", Resource: "deployments", Namespace: "a", FieldSelector: "metadata.name=x"})
					if d != c.want || reason != c.reason || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
						t.Errorf("got %v, %q, %v", d, reason, err)
					}
				}
				if n := s.asked.Load(); n != c.asked {
					t.Errorf("asked %d times, want %d", n, c.asked)
				}
			})
		}
	}
}

// The question says all of the request, in both versions.
func TestQuestion(t *testing.T) {
	for version, group := range map[string]string{"v1": "groups", "v1beta1": "group"} {
		s := serve(t)
		s.status.Store(`{"allowed":true}`)
		a := connect(t, s, version)
		ask := func(i *request.Info) string {
			if _, _, err := a.Authorize(t.Context(), &request.User{Name: "ann", UID: "1", Groups: []string{"g"}}, i); err != nil {
				t.Fatal(err)
			}
			out, err := json.Marshal(s.last.Load().(map[string]any)["spec"])
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		who := `"uid":"1","user":"ann"}`
		if got, want := ask(&request.Info{Verb: "get", Path: "/metrics"}), `{"`+group+`":["g"],"nonResourceAttributes":{"path":"/metrics","verb":"get"},`+who; got != want {
			t.Errorf("%s\n got %s\nwant %s", version, got, want)
		}
		got := ask(&request.Info{IsResource: true, Verb: "get", Version: "v1", Namespace: "a", Resource: "pods", Subresource: "log", Name: "p"})
		if want := `{"` + group + `":["g"],"resourceAttributes":{"name":"p","namespace":"a","resource":"pods","subresource":"log","verb":"get","version":"v1"},` + who; got != want {
			t.Errorf("%s\n got %s\nwant %s", version, got, want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	if _, err := webhook.New(webhook.Config{File: "/no", Version: "v1"}); err == nil || !strings.Contains(err.Error(), "/no") {
		t.Error(err)
	}
	if _, err := webhook.New(webhook.Config{File: "/no", Version: "v2"}); err == nil || !strings.Contains(err.Error(), "want v1 or v1beta1") {
		t.Error(err)
	}
}
