package filters

import (
	"net/http"

	"hyperkube/apiserver/request"
	"hyperkube/apiserver/route"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/uuid"
)

const auditID = "Audit-Id"

// identify gives every request an id, by which answer, log and audit agree.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(auditID)
		if id == "" || len(id) > 128 {
			id = string(uuid.NewUUID())
		}
		w.Header()[auditID] = []string{id}
		next.ServeHTTP(w, r)
	})
}

// requestInfo says what the request is for and collects warnings.
func requestInfo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := withTrail(request.WithInfo(r.Context(), route.Parse(r)))
		ctx = request.WithWarnings(ctx, func(text string) { addWarning(w.Header(), text) })
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// addWarning adds each text once, for a write may be tried again.
func addWarning(h http.Header, text string) {
	value, err := utilnet.NewWarningHeader(299, "-", text)
	if err != nil {
		return
	}
	for _, have := range h.Values("Warning") {
		if have == value {
			return
		}
	}
	h.Add("Warning", value)
}
