package filters

import (
	"net/http"

	"hyperkube/apiserver/request"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// authenticate finds out who asks. Credentials that are bad or missing are a
// 401; whether nobody may ask as system:anonymous is the authenticator's choice.
func authenticate(a request.Authenticator, m *metrics, under *underWay) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var u *request.User
			var ok bool
			var err error
			if a != nil {
				u, ok, err = a.Authenticate(r)
			}
			if err != nil || !ok {
				m.authentication(false, err != nil)
				under.fail(w, r, apierrors.NewUnauthorized("Unauthorized"))
				return
			}
			m.authentication(true, false)
			trailOf(r.Context()).by = u
			r.Header.Del("Authorization") // nobody after this needs it
			next.ServeHTTP(w, r.WithContext(request.WithUser(r.Context(), u)))
		})
	}
}
