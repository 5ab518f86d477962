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
