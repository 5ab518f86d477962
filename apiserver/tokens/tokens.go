// Package tokens issues and verifies service-account tokens: signed JWTs bound
// to a service account and, if asked for, to a pod, secret or node (KEP-1205).
//
//	TokenRequest ──▶ Issue ──▶ header.claims.signature
//	request ──▶ Verify: shape ▸ signature (cached) ▸ times ▸ audience ▸ live objects
//
// Contract:
//   - A token that is not a JWT of one of our issuers is nobody's error: Verify
//     answers "not mine", so that other authenticators may be asked.
//   - A good signature is verified once for each token and remembered in a bounded
//     cache. Times, audiences and the objects a token is bound to are judged on
//     every use, so a deleted pod or service account ends its tokens at once.
//   - Only the algorithm that belongs to the type of the key is accepted;
//     "none" and HMAC do not exist here.
//   - Tokens made from secrets (the legacy kind) are accepted while their secret
//     holds them.
package tokens

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Config of a Service.
type Config struct {
	// Issuer is put into new tokens; AlsoAccepted are issuers of older ones.
	Issuer       string
	AlsoAccepted []string
	// Key signs. Its public half and VerifyKeys verify.
	// VerifyKeys, which may be nil, answers the same slice as long as it holds the same.
	Key        crypto.Signer
	VerifyKeys func() []crypto.PublicKey
	// APIAudiences are what this server is called in "aud"; empty: the issuer.
	APIAudiences []string
	// MaxLifetime caps requests; 0: no cap.
	MaxLifetime time.Duration
	// NoExtension switches off the year that the kubelet's standard hour is
	// stretched to (--service-account-extend-token-expiration=false).
	NoExtension bool
	// JWKSURI in the OIDC discovery document; empty: <issuer>/openid/v1/jwks.
	JWKSURI string
	Reader  store.Reader
	Now     func() time.Time // nil: time.Now
}

// Service issues and verifies.
type Service struct {
	cfg     Config
	sign    signer
	issuers map[string]bool

	mu  sync.Mutex // held while keys are made anew
	set atomic.Pointer[keyset]
}

var (
	_ kind.TokenIssuer      = (*Service)(nil)
	_ request.Authenticator = (*Service)(nil)
)

// New checks the configuration.
func New(c Config) (*Service, error) {
	if c.Issuer == "" {
		return nil, errors.New("service-account issuer is missing: set --service-account-issuer")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if len(c.APIAudiences) == 0 {
		c.APIAudiences = []string{c.Issuer}
	}
	s := &Service{cfg: c, issuers: map[string]bool{c.Issuer: true}}
	for _, i := range c.AlsoAccepted {
		s.issuers[i] = true
	}
	if c.Key != nil {
		var err error
		if s.sign, err = newSigner(c.Key); err != nil {
			return nil, fmt.Errorf("service-account signing key: %w", err)
		}
	}
	set, err := s.newKeyset(s.others())
	if err != nil {
		return nil, fmt.Errorf("service-account key: %w", err)
	}
	if len(set.keys) == 0 {
		return nil, errors.New("no key verifies service-account tokens: set --service-account-key-file")
	}
	s.set.Store(set)
	return s, nil
}

// Audiences of this API server.
func (s *Service) Audiences() []string { return s.cfg.APIAudiences }

// Lifetimes of KEP-1205: who asks for exactly warnAfter (the kubelet, for the
// standard volume) gets extended, so that old clients which never reload keep working.
const (
	warnAfter = 3607 * time.Second
	extended  = 365 * 24 * time.Hour
)

// Issue signs a token for c. expires is when the holder should have replaced it,
// which is before the token's end for extended ones.
func (s *Service) Issue(_ context.Context, c kind.TokenClaims) (token string, expires time.Time, err error) {
	if s.cfg.Key == nil {
		return "", time.Time{}, errors.New("no service-account signing key: set --service-account-signing-key-file")
	}
	now := s.cfg.Now()
	life := c.Lifetime
	if s.cfg.MaxLifetime > 0 && life > s.cfg.MaxLifetime {
		life = s.cfg.MaxLifetime
	}
	auds := c.Audiences
	if len(auds) == 0 {
		auds = s.cfg.APIAudiences
	}
	expires = now.Add(life)
	cl := claims{
		Issuer: s.cfg.Issuer, Audience: auds, ID: string(uuid.NewUUID()),
		Subject:  request.ServiceAccountPrefix + c.Namespace + ":" + c.ServiceAccount,
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: expires.Unix(),
		Kubernetes: &private{Namespace: c.Namespace, ServiceAccount: &ref{Name: c.ServiceAccount, UID: c.UID}},
	}
	if life == warnAfter && !s.cfg.NoExtension && subset(auds, s.cfg.APIAudiences) {
		cl.Kubernetes.WarnAfter = expires.Unix()
		cl.Expires = now.Add(extended).Unix()
	}
	bind(cl.Kubernetes, c)
	if token, err = s.sign.jwt(cl); err != nil {
		return "", time.Time{}, fmt.Errorf("signing token: %w", err)
	}
	return token, time.Unix(expires.Unix(), 0), nil
}

func bind(p *private, c kind.TokenClaims) {
	if c.NodeName != "" {
		p.Node = &ref{Name: c.NodeName, UID: c.NodeUID}
	}
	to := &ref{Name: c.BoundName, UID: c.BoundUID}
	switch c.BoundKind {
	case "Pod":
		p.Pod = to
	case "Secret":
		p.Secret = to
	case "Node":
		p.Node = to
	}
}

func subset(a, of []string) bool {
	for _, s := range a {
		if !contains(of, s) {
			return false
		}
	}
	return true
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
