package filters

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hyperkube/apiserver/request"

	"github.com/prometheus/client_golang/prometheus"
)

type everybody struct{ name string }

func (e everybody) Authenticate(*http.Request) (*request.User, bool, error) {
	return &request.User{Name: e.name, Groups: []string{request.GroupAuthenticated}}, true, nil
}

// may allows verbs on resources, written "verb resource".
type may []string

func (m may) Authorize(_ context.Context, _ *request.User, i *request.Info) (request.Decision, string, error) {
	if slices.Contains(m, i.Verb+" "+i.Resource) {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "", nil
}

func send(h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestOrder(t *testing.T) {
	want := "recover resets identify info metrics audit timeout authn underway impersonate authz long body seat"
	if got := strings.Join(Names(), " "); got != want {
		t.Errorf("filters run as %s", got)
	}
}

// TestInflight: the limit refuses with Retry-After, and long-running requests do not count.
func TestInflight(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{})
	reg := prometheus.NewRegistry()
	h, _ := Chain(Config{Log: quiet(), Registry: reg, Authenticator: everybody{"a"}, Authorizer: may{"get pods", "watch pods", "create pods"}, MaxReads: 1},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if request.InfoFrom(r.Context()).Verb == "get" {
				entered <- struct{}{}
				<-hold
			}
		}))
	done := make(chan int)
	go func() { done <- send(h, "GET", "/api/v1/namespaces/d/pods/p").Code }()
	<-entered
	w := send(h, "GET", "/api/v1/namespaces/d/pods/q")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if c := send(h, "GET", "/api/v1/pods?watch=1").Code; c != http.StatusOK {
		t.Errorf("a watch was refused: %d", c)
	}
	if c := send(h, "POST", "/api/v1/namespaces/d/pods").Code; c != http.StatusOK {
		t.Errorf("a write was refused: %d", c)
	}
	close(hold)
	if c := <-done; c != http.StatusOK {
		t.Errorf("the first request: %d", c)
	}
	if got, err := reg.Gather(); err != nil || len(got) == 0 {
		t.Error(got, err)
	}
}

func TestTimeout(t *testing.T) {
	h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"get pods"}, Timeout: time.Hour},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			at, ok := r.Context().Deadline()
			if !ok || time.Until(at) > 3*time.Second {
				w.WriteHeader(http.StatusTeapot)
			}
		}))
	if c := send(h, "GET", "/api/v1/namespaces/d/pods/p?timeout=2s").Code; c != http.StatusOK {
		t.Error("the client's timeout does not hold", c)
	}
	if c := send(h, "GET", "/api/v1/namespaces/d/pods/p").Code; c != http.StatusTeapot {
		t.Error("the server's timeout is not its own", c)
	}
	if c := send(h, "GET", "/api/v1/namespaces/d/pods/p?timeout=x").Code; c != http.StatusBadRequest {
		t.Error("a bad timeout passed", c)
	}
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	h, _ := Chain(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Authenticator: everybody{"a"}, Authorizer: may{"get pods"}},
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	w := send(h, "GET", "/api/v1/namespaces/d/pods/p")
	if w.Code != http.StatusInternalServerError || !strings.Contains(log.String(), "boom") || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestImpersonate: every part of the other identity must be allowed, and the
// request goes on as that identity without the headers.
func TestImpersonate(t *testing.T) {
	var seen *request.User
	last := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = request.UserFrom(r.Context())
		for k := range r.Header {
			if strings.HasPrefix(k, "Impersonate") {
				w.WriteHeader(http.StatusTeapot)
			}
		}
	})
	h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"get pods", "impersonate users", "impersonate serviceaccounts", "impersonate userextras"}}, last)
	path := "/api/v1/namespaces/d/pods/p"
	w := send(h, "GET", path, "Impersonate-User", "b", "Impersonate-Extra-Scopes", "x")
	if w.Code != http.StatusOK || seen.Name != "b" || !seen.In(request.GroupAuthenticated) || seen.Extra["scopes"][0] != "x" {
		t.Errorf("%d %+v", w.Code, seen)
	}
	send(h, "GET", path, "Impersonate-User", "system:serviceaccount:d:s")
	if !seen.In("system:serviceaccounts:d") || !seen.In(request.GroupServiceAccounts) {
		t.Errorf("%+v", seen)
	}
	if w := send(h, "GET", path, "Impersonate-User", "b", "Impersonate-Group", "system:masters"); w.Code != http.StatusForbidden {
		t.Errorf("took a group that was not allowed: %d", w.Code)
	}
	if w := send(h, "GET", path, "Impersonate-Group", "g"); w.Code != http.StatusBadRequest {
		t.Errorf("a group without a user: %d", w.Code)
	}
}

// TestAudit: one line a request, refusals included, and full files are set aside.
func TestAudit(t *testing.T) {
	log := &AuditLog{Path: filepath.Join(t.TempDir(), "audit.log"), MaxBytes: 1500, Keep: 2}
	if err := log.Open(); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	h, _ := Chain(Config{Log: quiet(), Authenticator: everybody{"a"}, Authorizer: may{"get pods"}, Audit: log},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	id := send(h, "GET", "/api/v1/namespaces/d/pods/p").Header().Get("Audit-Id")
	send(h, "DELETE", "/api/v1/namespaces/d/pods/p")
	send(h, "GET", "/healthz")
	b, err := os.ReadFile(log.Path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if len(lines) != 2 {
		t.Fatalf("%s", b)
	}
	var first, second auditEvent
	if json.Unmarshal(lines[0], &first) != nil || json.Unmarshal(lines[1], &second) != nil {
		t.Fatalf("%s", b)
	}
	if first.AuditID != id || first.User.Username != "a" || first.ObjectRef.Name != "p" || first.ResponseStatus["code"] != 200.0 {
		t.Errorf("%s", lines[0])
	}
	if second.ResponseStatus["code"] != 403.0 {
		t.Errorf("%s", lines[1])
	}
	for range 10 {
		send(h, "GET", "/api/v1/namespaces/d/pods/p")
	}
	files, err := filepath.Glob(log.Path + "*")
	if err != nil || len(files) != 3 {
		t.Errorf("%v %v", files, err)
	}
	if st, err := os.Stat(log.Path); err != nil || st.Mode().Perm() != 0o600 || st.Size() > log.MaxBytes {
		t.Error(st, err)
	}
}
