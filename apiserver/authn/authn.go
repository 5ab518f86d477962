// Package authn says who sent a request: a client certificate, a front proxy's
// headers, a bearer token, or nobody in particular.
//
//	TLS peer ──▶ x509 ─┐
//	X-Remote-User ─────┼──▶ user (+ system:authenticated)
//	Authorization ─────┤    the first that knows decides; bad credentials are an error (401)
//	nothing ──▶ anonymous (system:unauthenticated)
//
// Contract:
//   - Users are shared between requests and read-only.
//   - A certificate chain is verified once and remembered by the hash of the
//     certificate in a bounded cache for a minute; its dates are judged on every
//     request, and with other authorities the chain is verified again. Tokens are judged by package tokens, which caches signatures only.
//   - Credentials are never logged and never in an error.
package authn

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"hyperkube/apiserver/request"
	"hyperkube/internal/pki"
)

// TokenVerifier judges bearer tokens for the given audiences (empty: those of
// this server). ok is false without an error when the token is none of its own.
type TokenVerifier interface {
	Verify(ctx context.Context, token string, audiences []string) (u *request.User, matched []string, ok bool, err error)
}

// Config of an Authenticator. What is left out is not accepted.
type Config struct {
	ClientCAs    *pki.Pool // client certificates: CN is the user, O the groups
	FrontProxy   *FrontProxy
	Tokens       []TokenVerifier // service accounts, then others, in this order
	TokenFile    string          // CSV of --token-auth-file
	APIAudiences []string        // what static tokens are for
	Anonymous    bool
	Now          func() time.Time // nil: time.Now
}

// Authenticator is the union of all ways.
type Authenticator struct {
	certs     *certificates
	proxy     *frontProxy
	tokens    []TokenVerifier
	anonymous bool
}

var _ request.Authenticator = (*Authenticator)(nil)

// ErrUnauthorized is all that a client learns about bad credentials.
var ErrUnauthorized = errors.New("the server has asked for the client to provide credentials")

// New reads the token file and prepares the caches.
func New(c Config) (*Authenticator, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Authenticator{tokens: c.Tokens, anonymous: c.Anonymous}
	if c.ClientCAs != nil {
		a.certs = newCertificates(c.ClientCAs, c.Now)
	}
	if c.FrontProxy != nil {
		a.proxy = newFrontProxy(*c.FrontProxy, c.Now)
	}
	if c.TokenFile != "" {
		f, err := loadTokenFile(c.TokenFile, c.APIAudiences)
		if err != nil {
			return nil, err
		}
		a.tokens = append([]TokenVerifier{f}, a.tokens...)
	}
	return a, nil
}

// Authenticate a request. A bearer token that was judged is removed from the
// request, so that no proxy hands it on.
func (a *Authenticator) Authenticate(r *http.Request) (*request.User, bool, error) {
	if a.proxy != nil {
		if u, ok, err := a.proxy.authenticate(r); ok || err != nil {
			return u, ok, err
		}
	}
	var certErr error
	if a.certs != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		u, err := a.certs.user(r.TLS.PeerCertificates)
		if err == nil {
			return u, true, nil
		}
		certErr = err // a good token may still save it
	}
	if token := bearer(r); token != "" {
		u, _, ok, err := a.verify(r.Context(), token, nil)
		if ok || err != nil {
			r.Header.Del("Authorization")
			return u, ok, err
		}
		return nil, false, ErrUnauthorized
	}
	if certErr != nil {
		return nil, false, certErr
	}
	if r.Header.Get("Authorization") != "" {
		return nil, false, ErrUnauthorized
	}
	if a.anonymous {
		return anonymousUser(), true, nil
	}
	return nil, false, ErrUnauthorized
}

// Token judges a token that came in the body of a TokenReview; kind.Env's
// Authenticate. It fails when nobody knows the token.
func (a *Authenticator) Token(ctx context.Context, token string, audiences []string) (*request.User, []string, error) {
	u, matched, ok, err := a.verify(ctx, token, audiences)
	if err == nil && !ok {
		err = errors.New("invalid bearer token")
	}
	return u, matched, err
}

func (a *Authenticator) verify(ctx context.Context, token string, auds []string) (*request.User, []string, bool, error) {
	var errs []error
	for _, v := range a.tokens {
		u, matched, ok, err := v.Verify(ctx, token, auds)
		if ok {
			return u, matched, true, nil
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return nil, nil, false, errors.Join(errs...)
}

func anonymousUser() *request.User {
	return &request.User{Name: request.Anonymous, Groups: []string{request.GroupUnauthenticated}}
}

// websocketToken is the subprotocol by which browsers, which cannot set
// headers, send a bearer token.
const websocketToken = "base64url.bearer.authorization.k8s.io."

// bearer finds the token in the Authorization header or, for WebSockets, among
// the offered subprotocols, from which it is removed.
func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return ""
	}
	return subprotocolToken(r)
}
