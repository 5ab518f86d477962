package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authnv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"hyperkube/internal/pki"
	"hyperkube/internal/trouble"
	"hyperkube/internal/turnstile"
)

// Port is where a role in a process of its own serves health, for everybody, and
// metrics, for those whom the API server lets read them.
type Port struct {
	Address           string // host:port; empty for none
	CertFile, KeyFile string // both empty: a certificate that lives as long as the process
	ClientCAFile      string // of the clients that may show certificates; it is read again when it changes
	MinVersion        uint16 // of TLS; 0: 1.2
	Debug             bool   // profiles too
}

const reviewTimeout = 10 * time.Second

// What a request to such a port may bring, and how long its answer may take to make and
// to read: profiles take 30 s.
const (
	headBytes  = 64 << 10
	answerTime = 2 * time.Minute
)

// open takes the port, so that one in use is reported at once.
func (p Port) open(kube kubernetes.Interface, reg *registries, log *slog.Logger) (func(context.Context) error, error) {
	if p.Address == "" {
		return func(ctx context.Context) error { <-ctx.Done(); return nil }, nil
	}
	cert, err := p.Certificate(log)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", p.Address)
	if err != nil {
		return nil, fmt.Errorf("listening for health and metrics: %w (another port: --secure-port)", err)
	}
	conf := &tls.Config{MinVersion: max(tls.VersionTLS12, p.MinVersion), GetCertificate: cert}
	if conf, err = p.WithClients(conf, log, trouble.Metric(reg.process)); err != nil {
		return nil, err
	}
	g := guard{kube: kube, log: log, next: reg.handler(p.Debug)}
	srv := &http.Server{Handler: g, TLSConfig: conf, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		WriteTimeout: answerTime, MaxHeaderBytes: headBytes, Protocols: new(http.Protocols),
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	srv.Protocols.SetHTTP1(true) // one request a connection, which the turnstile counts
	return untilDone(srv, func() error { return srv.ServeTLS(turnstile.New(turnstile.Share(), log).Bound(l), "", "") }), nil
}

// untilDone serves until ctx ends.
func untilDone(srv *http.Server, serve func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { srv.Close() })
		defer stop()
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving health and metrics: %w", err)
		}
		return nil
	}
}

// health answers /healthz without TLS, as kubelets do on loopback.
func health(address string) (func(context.Context) error, error) {
	if address == "" {
		return func(ctx context.Context) error { <-ctx.Done(); return nil }, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for health checks: %w (another port: --healthz-port)", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: answerTime, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: headBytes}
	return untilDone(srv, func() error { return srv.Serve(l) }), nil
}

// Certificate is the port's: that of its files, as they are at each handshake, or a
// new self-made one.
func (p Port) Certificate(log *slog.Logger) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if p.CertFile != "" || p.KeyFile != "" {
		pair, err := pki.NewFilePair("--tls-cert-file and --tls-private-key-file", p.CertFile, p.KeyFile, log)
		if err != nil {
			return nil, err
		}
		return pair.Server, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	ca, err := pki.NewCA(host+"-ca", time.Now())
	if err != nil {
		return nil, err
	}
	pair, err := ca.Issue(pki.Leaf{CommonName: host, DNSNames: []string{host, "localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true}, time.Now())
	if err != nil {
		return nil, err
	}
	made, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		return nil, err
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &made, nil }, nil
}

// WithClients is conf for a port to which the clients of ClientCAFile may show certificates.
func (p Port) WithClients(conf *tls.Config, log *slog.Logger, failures *prometheus.CounterVec) (*tls.Config, error) {
	if p.ClientCAFile == "" {
		return conf, nil
	}
	pool, err := pki.NewPool("--client-ca-file", p.ClientCAFile, trouble.New(log, failures, "reading --client-ca-file again"))
	if err != nil {
		return nil, err
	}
	conf.ClientAuth = tls.VerifyClientCertIfGiven
	return pki.WithClientCAs(conf, pool), nil
}

// guard lets everybody see health and asks the API server about the rest.
type guard struct {
	kube kubernetes.Interface
	log  *slog.Logger
	next http.Handler
}

func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz", "/livez", "/readyz":
		fmt.Fprint(w, "ok")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), reviewTimeout)
	defer cancel()
	user, err := g.user(ctx, r)
	if err == nil && user == nil {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	var ok bool
	if err == nil {
		ok, err = g.allowed(ctx, r, user)
	}
	switch {
	case err != nil:
		g.log.Error("asking who may read metrics", "err", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
	case !ok:
		http.Error(w, "Forbidden", http.StatusForbidden)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// user is nil when the request names nobody the cluster knows.
func (g guard) user(ctx context.Context, r *http.Request) (*authnv1.UserInfo, error) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		s := r.TLS.VerifiedChains[0][0].Subject
		return &authnv1.UserInfo{Username: s.CommonName, Groups: append(s.Organization, "system:authenticated")}, nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return nil, nil
	}
	review, err := g.kube.AuthenticationV1().TokenReviews().Create(ctx, &authnv1.TokenReview{Spec: authnv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil || !review.Status.Authenticated {
		return nil, err
	}
	return &review.Status.User, nil
}

func (g guard) allowed(ctx context.Context, r *http.Request, u *authnv1.UserInfo) (bool, error) {
	spec := authzv1.SubjectAccessReviewSpec{
		User: u.Username, UID: u.UID, Groups: u.Groups, Extra: map[string]authzv1.ExtraValue{},
		NonResourceAttributes: &authzv1.NonResourceAttributes{Path: r.URL.Path, Verb: strings.ToLower(r.Method)},
	}
	for k, v := range u.Extra {
		spec.Extra[k] = authzv1.ExtraValue(v)
	}
	review, err := g.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authzv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}
