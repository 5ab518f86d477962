package filters

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"

	"hyperkube/apiserver/codec"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// recovery turns a panic into a 500, or cuts the answer short when it has begun.
func recovery(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := record(w)
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if p == http.ErrAbortHandler {
					panic(p)
				}
				log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if rec.code != 0 {
					panic(http.ErrAbortHandler)
				}
				codec.WriteError(rec, r, apierrors.NewInternalError(errors.New("this request caused the apiserver to panic; look in the log for details")))
			}()
			next.ServeHTTP(rec, r)
		})
	}
}
