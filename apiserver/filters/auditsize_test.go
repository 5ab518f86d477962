package filters

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"

	dto "github.com/prometheus/client_model/go"
)

// TestAuditLineIsBounded: characters that JSON writes as six do not make an event long,
// and it stays an event.
func TestAuditLineIsBounded(t *testing.T) {
	odd := strings.Repeat("<\x01", 50_000)
	groups := make([]string, 10_000)
	for i := range groups {
		groups[i] = odd[:100]
	}
	e := &auditEvent{Kind: "Event", AuditID: "id", Verb: odd, RequestURI: odd, UserAgent: odd, User: auditUser{Username: "jane", Groups: groups, Extra: map[string][]string{"a": groups}},
		ImpersonatedUser: &auditUser{Username: odd, UID: odd, Groups: groups}, ObjectRef: &auditObject{odd, odd, odd, odd, odd, odd},
		Annotations: map[string]string{"authorization.k8s.io/decision": "allow"}}
	for i := range bounds.AuditNotes {
		e.Annotations[fmt.Sprint("example.com/", i)] = odd
	}
	line, err := fit(e)
	if err != nil || len(line) > bounds.AuditLine {
		t.Fatalf("%d bytes, %v", len(line), err)
	}
	var back auditEvent
	if err := json.Unmarshal(line, &back); err != nil || back.User.Username != "jane" || back.AuditID != "id" || back.ObjectRef == nil || !strings.HasPrefix(back.RequestURI, "<") {
		t.Errorf("%+v, %v", back, err)
	}
	if len(groups) != 10_000 {
		t.Error("the user's own groups were cut")
	}
	short := &auditEvent{RequestURI: strings.Repeat("a", 2000), User: auditUser{Groups: groups[:3]}}
	if line, err := fit(short); err != nil || !bytes.Contains(line, []byte(short.RequestURI)) || len(short.User.Groups) != 3 {
		t.Errorf("what fits was cut: %s, %v", line, err)
	}
}

// TestUnknownCannotWashTheLog: those whom nobody knows write only so much; what they did
// beyond that is counted, and what others do is written all the while.
func TestUnknownCannotWashTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuditFile(t)
		h, _ := Chain(Config{Log: quiet(), Authenticator: header{}, Authorizer: all{}, Audit: a.log}, http.NotFoundHandler())
		long := "/api/v1/namespaces/" + strings.Repeat("a", 4000)
		for range 3000 {
			send(h, "GET", long, "X-User", "bad")
			send(h, "GET", long, "X-User", request.Anonymous)
		}
		st, err := os.Stat(a.log.Path)
		if err != nil || st.Size() > bounds.AuditUnknown+bounds.AuditLine || st.Size() < bounds.AuditUnknown/2 {
			t.Fatalf("6000 events of nobody made %d bytes, %v", st.Size(), err)
		}
		before := st.Size()
		send(h, "GET", "/api/v1/namespaces/n/pods", "X-User", "jane")
		if st, err := os.Stat(a.log.Path); err != nil || st.Size() == before {
			t.Errorf("jane's event is missing: %v", err)
		}
		time.Sleep(time.Minute)
		send(h, "GET", "/api/v1/pods", "X-User", "bad")
		text, err := os.ReadFile(a.log.Path)
		last := text[bytes.LastIndexByte(bytes.TrimSpace(text), '\n')+1:]
		var e auditEvent
		if err != nil || json.Unmarshal(last, &e) != nil || e.RequestURI != "/api/v1/pods" || e.Annotations[leftOutNote] == "" {
			t.Errorf("%s, %v", last, err)
		}
	})
}

// TestAccountCannotWashTheLog: one account's reads, refusals and writes come out of shares of
// their own: none hides another, none hides what somebody else did, what was left out is
// counted and told, and what is part of the cluster is written always.
func TestAccountCannotWashTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuditFile(t)
		a.log.LeftOut = AuditLeftOut(nil)
		h, _ := Chain(Config{Log: quiet(), Authenticator: header{}, Authorizer: all{}, Audit: a.log}, http.NotFoundHandler())
		size := func() int64 {
			t.Helper()
			st, err := os.Stat(a.log.Path)
			if err != nil {
				t.Fatal(err)
			}
			return st.Size()
		}
		long := "/api/v1/namespaces/" + strings.Repeat("a", 4000)
		const greedy = "system:serviceaccount:n:greedy"
		flood := func(method string) {
			for range bounds.AuditShare / 4000 {
				send(h, method, long, "X-User", greedy)
			}
		}
		written := func(what, method, user string, want bool) {
			t.Helper()
			before := size()
			send(h, method, "/api/v1/namespaces/n/pods", "X-User", user)
			if got := size() > before; got != want {
				t.Errorf("%s: %s of %s was written: %v", what, method, user, got)
			}
		}
		before := size()
		flood("GET")
		if n := size() - before; n > bounds.AuditShare || n < bounds.AuditShare/2 {
			t.Errorf("a flood of reads made %d bytes", n)
		}
		for range 20 {
			send(h, "GET", long, "X-User", greedy)
		}
		const reads = "after reads"
		written(reads, "GET", "jane", true)
		written(reads, "POST", greedy, true)
		written(reads, "GET", "system:serviceaccount:n2:greedy", true)
		flood("POST")
		for range 20 {
			send(h, "POST", long, "X-User", greedy)
		}
		written("after writes", "POST", "jane", true)
		for range 20 {
			for _, of := range []string{"system:kube-scheduler", "system:serviceaccount:kube-system:a"} {
				written("of the cluster", "GET", of, true)
			}
		}
		if len(a.log.shares.of) > 6 {
			t.Errorf("%d shares", len(a.log.shares.of))
		}
		time.Sleep(10 * time.Minute)
		written("later", "GET", greedy, true)
		text, err := os.ReadFile(a.log.Path)
		last := text[bytes.LastIndexByte(bytes.TrimSpace(text), '\n')+1:]
		var e auditEvent
		if err != nil || json.Unmarshal(last, &e) != nil || e.User.Username != greedy || e.Annotations[leftOutNote] == "" {
			t.Errorf("%s, %v", last, err)
		}
		var m dto.Metric
		if err := a.log.LeftOut.WithLabelValues("read").Write(&m); err != nil || m.GetCounter().GetValue() < 20 {
			t.Errorf("%v reads are counted as left out, %v", m.GetCounter().GetValue(), err)
		}
	})
}

// TestManyAccountsShareTheLog: accounts without end keep no memory without end.
func TestManyAccountsShareTheLog(t *testing.T) {
	var s shares
	now := time.Now()
	seen := map[*allowance]bool{}
	for i := range 3 * bounds.AuditAccounts {
		u := &request.User{Name: fmt.Sprint("u", i)}
		a, sort := s.find(&auditEvent{Verb: "get", User: auditUser{Username: u.Name}}, u, http.StatusOK, now)
		if sort != sortRead {
			t.Fatal(sort)
		}
		a.take(1000, now)
		seen[a] = true
	}
	if len(s.of) != bounds.AuditAccounts || len(seen) != bounds.AuditAccounts+1 {
		t.Errorf("%d shares, %d were used", len(s.of), len(seen))
	}
	u := &request.User{Name: "late"}
	if a, _ := s.find(&auditEvent{Verb: "get", User: auditUser{Username: u.Name}}, u, http.StatusOK, now.Add(time.Minute)); a == s.rest || len(s.of) != 1 {
		t.Errorf("%d shares are kept that are full again", len(s.of))
	}
}
