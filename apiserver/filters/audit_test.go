package filters

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"

	"github.com/cockroachdb/datadriven"
)

// auditFile is a chain in front of an audit log, whose events it shows.
type auditFile struct {
	log  *AuditLog
	read int
}

func newAuditFile(t *testing.T) *auditFile {
	a := &auditFile{log: &AuditLog{Path: filepath.Join(t.TempDir(), "audit.log")}}
	if err := a.log.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.log.Close() })
	return a
}

// news are the events since the last call, one a line.
func (a *auditFile) news(t *testing.T) string {
	b, err := os.ReadFile(a.log.Path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range bytes.Lines(b[a.read:]) {
		var e auditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		fmt.Fprintf(&out, "  %s %v user=%q", e.Stage, e.ResponseStatus["code"], e.User.Username)
		if e.ImpersonatedUser != nil {
			fmt.Fprintf(&out, " as=%q", e.ImpersonatedUser.Username)
		}
		fmt.Fprintf(&out, " %s", e.Verb)
		if o := e.ObjectRef; o != nil {
			fmt.Fprintf(&out, " %s/%s %s/%s", o.Resource, o.Subresource, o.Namespace, o.Name)
		} else {
			fmt.Fprintf(&out, " %s", e.RequestURI)
		}
		for _, key := range []string{"authorization.k8s.io/decision", "authorization.k8s.io/reason", "impersonation.hyperkube.io/refused"} {
			if v, ok := e.Annotations[key]; ok {
				_, name, _ := strings.Cut(key, "/")
				fmt.Fprintf(&out, " %s=%q", name, v)
			}
		}
		out.WriteByte('\n')
	}
	a.read = len(b)
	if out.Len() == 0 {
		return "  nothing\n"
	}
	return out.String()
}

// TestAuditEvents shows what the log tells of each kind of request and answer.
// A line is "user method path [headers]"; "full" makes the limits refuse it.
func TestAuditEvents(t *testing.T) {
	last := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch info := request.InfoFrom(r.Context()); {
		case info.Name == "boom":
			panic("boom")
		case info.Name == "missing":
			w.WriteHeader(http.StatusNotFound)
		case info.Subresource == "exec":
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				c.Close()
			}
		case info.Verb == "watch":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
	})
	datadriven.RunTest(t, "testdata/audit.txt", func(t *testing.T, d *datadriven.TestData) string {
		a := newAuditFile(t)
		reads, writes := int64(0), int64(0)
		if d.HasArg("full") {
			reads, writes = -1, -1
		}
		h, inside := Chain(Config{Log: quiet(), Authenticator: header{}, Authorizer: all{}, Audit: a.log, MaxReads: reads, MaxWrites: writes}, last)
		served := make(chan struct{}, 1)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { served <- struct{}{} }()
			h.ServeHTTP(w, r)
		}))
		defer s.Close()
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			f := strings.Fields(line)
			fmt.Fprintln(&out, line)
			if d.HasArg("inside") {
				r := httptest.NewRequest(f[1], f[2], nil)
				inside.ServeHTTP(httptest.NewRecorder(), r.WithContext(request.WithUser(r.Context(), &request.User{Name: f[0]})))
			} else {
				overSocket(t, s.URL, f)
				<-served // the client has its answer before the request has ended
			}
			out.WriteString(a.news(t))
		}
		return out.String()
	})
}

func overSocket(t *testing.T, url string, f []string) {
	r, err := http.NewRequestWithContext(t.Context(), f[1], url+f[2], nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-User", f[0])
	for _, h := range f[3:] {
		k, v, _ := strings.Cut(h, "=")
		r.Header.Add(k, v)
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := c.Do(r); err == nil {
		resp.Body.Close()
	}
}

// TestAuditText: a client cannot make the log grow by long words.
func TestAuditText(t *testing.T) {
	a := newAuditFile(t)
	h, _ := Chain(Config{Log: quiet(), Authenticator: header{}, Authorizer: all{}, Audit: a.log}, http.NotFoundHandler())
	long := strings.Repeat("é", 100<<10)
	send(h, "GET", "/api/v1/namespaces/"+long+"/pods/"+long, "X-User", "bad", "User-Agent", long)
	st, err := os.Stat(a.log.Path)
	if err != nil || st.Size() == 0 || st.Size() > 12*bounds.AuditText {
		t.Errorf("the event has %d bytes, %v", st.Size(), err)
	}
}

// What admission notes of a request stands in its event, bounded.
func TestAuditNotes(t *testing.T) {
	ctx := withTrail(t.Context())
	for i := range 2 * bounds.AuditNotes {
		request.Annotate(ctx, fmt.Sprint("example.com/", i), strings.Repeat("x", 2*bounds.AuditText))
	}
	trailOf(ctx).decision = "allow"
	a := trailOf(ctx).annotations()
	if len(a) != bounds.AuditNotes+2 || a["authorization.k8s.io/decision"] != "allow" || len(a["example.com/0"]) > bounds.AuditText+len("…") {
		t.Errorf("%d annotations, one of %d bytes", len(a), len(a["example.com/0"]))
	}
}

// TestAuditLogOnAFullDisk: requests go on, and one line tells of it, not one a request.
func TestAuditLogOnAFullDisk(t *testing.T) {
	var said bytes.Buffer
	l := &AuditLog{Path: "/dev/full", Log: slog.New(slog.NewTextHandler(&said, nil))}
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 20 {
		l.write(&auditEvent{Verb: "create"}, nil, 200)
	}
	if n := strings.Count(said.String(), "\n"); n != 1 || !strings.Contains(said.String(), "no space left on device") {
		t.Errorf("%d lines:\n%s", n, said.String())
	}
}
