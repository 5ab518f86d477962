package apiserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/filters"
	"hyperkube/apiserver/health"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/verbs"
	"hyperkube/store"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
)

// Options of a Server. Store and Served are required, and TLS for Run. What is
// left nil is absent: no Applier means that server-side apply is a 415, no
// Authorizer that only system:masters may do anything, and so on.
type Options struct {
	Log      *slog.Logger
	Registry *prometheus.Registry // served at /metrics; nil makes one, with Go's and the process' metrics
	Store    store.Reader         // that of Served
	Served   *registry.Registry   // the kinds
	Scheme   *runtime.Scheme      // nil: api/scheme.New()

	Listener net.Listener // or
	Address  string       // host:port
	TLS      TLS

	Authenticator request.Authenticator
	// Authenticate judges the tokens of TokenReviews (authn's Token).
	Authenticate func(ctx context.Context, token string, audiences []string) (*request.User, []string, error)
	Authorizer   request.Authorizer
	Admission    []admission.Plugin
	Applier      verbs.Applier
	Tokens       kind.TokenIssuer
	Network      kind.Network
	Connect      http.Handler
	Discovery    http.Handler // /api, /apis and below
	OpenAPI      http.Handler // /openapi
	// Handlers are further paths; one that ends in a slash takes all below it.
	Handlers map[string]http.Handler
	Audit    *filters.AuditLog

	// Ready checks are shown by /readyz and /healthz besides our own.
	ReadyChecks []health.Check
	Version     version.Info

	MaxReads, MaxWrites int64         // requests under way; 0: 400 and 200
	RequestTimeout      time.Duration // 0: a minute
	ShutdownTimeout     time.Duration // 0: ten seconds
	Now                 func() time.Time
}

func (o *Options) complete() error {
	if o.Store == nil || o.Served == nil {
		return errors.New("api server: Store and Served are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Scheme == nil {
		o.Scheme = scheme.New()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ShutdownTimeout == 0 {
		o.ShutdownTimeout = 10 * time.Second
	}
	if o.Version.GitVersion == "" {
		o.Version = DefaultVersion()
	}
	return nil
}

// env is what rules with effects see of the server.
type env struct {
	store.Reader
	o *Options
}

var _ kind.Env = (*env)(nil)

func (e *env) Now() time.Time                 { return e.o.Now() }
func (e *env) Authorizer() request.Authorizer { return e.o.Authorizer }
func (e *env) Tokens() kind.TokenIssuer       { return e.o.Tokens }
func (e *env) Network() kind.Network          { return e.o.Network }

func (e *env) Authenticate(ctx context.Context, token string, audiences []string) (*request.User, []string, error) {
	if e.o.Authenticate == nil {
		return nil, nil, errors.New("this server authenticates no tokens")
	}
	return e.o.Authenticate(ctx, token, audiences)
}
