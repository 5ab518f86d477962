package apiserver

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"hyperkube/internal/bounds"
)

// TestManagersAreBounded: every write goes through all entries of managedFields, so there
// is an end to how many a client may add.
func TestManagersAreBounded(t *testing.T) {
	w := newWhole(t)
	send := func(method, path, contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/api/v1/namespaces/d/configmaps"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		w.s.Handler().ServeHTTP(rec, r)
		return rec
	}
	managed := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"apiVersion":"v1","manager":"m%d","operation":"Apply","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:k%d":{}}}}`, i, i))
		}
		return `"managedFields":[` + strings.Join(list, ",") + `]`
	}
	for name, c := range map[string]struct {
		n    int
		code int
	}{"few": {5, 201}, "many": {bounds.Managers + 1, 422}} {
		body := fmt.Sprintf(`{"metadata":{"name":%q,%s},"data":{"a":"b"}}`, name, managed(c.n))
		if rec := send("POST", "", "application/json", body); rec.Code != c.code || c.code == 422 && !strings.Contains(rec.Body.String(), "metadata.managedFields: Too many") {
			t.Errorf("create with %s: %d %.300s", name, rec.Code, rec.Body)
		}
	}
	for n, want := range map[int]int{bounds.Managers + 1: 422, bounds.Managers: 200} {
		if rec := send("PATCH", "/few", "application/merge-patch+json", `{"metadata":{`+managed(n)+`}}`); rec.Code != want {
			t.Errorf("patch to %d entries: %d %.300s", n, rec.Code, rec.Body)
		}
	}
}
