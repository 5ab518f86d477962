package filters

import (
	"net/http"
	"strings"

	"hyperkube/apiserver/request"
	"hyperkube/apiserver/route"
	"hyperkube/internal/bounds"

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

// leftOut stands for the warnings beyond the bounds.
const leftOut = "more warnings are left out"

// addWarning adds each text once, for a write may be tried again. What is too much is
// left out, and that is told.
func addWarning(h http.Header, text string) {
	if len(text) > bounds.WarningText {
		text = strings.ToValidUTF8(text[:bounds.WarningText], "") + "…"
	}
	value, err := utilnet.NewWarningHeader(299, "-", text)
	if err != nil {
		return
	}
	last, err := utilnet.NewWarningHeader(299, "-", leftOut)
	if err != nil {
		return
	}
	all, size := h.Values("Warning"), len(value)
	for _, have := range all {
		if have == value || have == last {
			return
		}
		size += len(have)
	}
	if len(all) >= bounds.Warnings || size > bounds.WarningBytes {
		value = last
	}
	h.Add("Warning", value)
}
