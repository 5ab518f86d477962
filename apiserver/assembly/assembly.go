// Package assembly puts an API server together: the store with every kind, who
// may come in, what they may do, what is checked on the way, and the server on
// top. The `apiserver` role and the all-in-one cluster both start here, so that
// they cannot differ.
//
//	Options ─▶ store ─▶ tokens, authn, authz, admission, allocation ─▶ apiserver.Server
//
// Contract: New connects and registers but serves nothing. Run loads the store,
// writes what every cluster has (default policy, namespaces, the kubernetes
// service), serves, and returns when everything it started is gone.
package assembly

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	corev1 "k8s.io/api/core/v1"

	"hyperkube/api/scheme"
	"hyperkube/apiserver"
	"hyperkube/apiserver/admission/podsecurity"
	"hyperkube/apiserver/allocate"
	"hyperkube/apiserver/authn"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/authz/abac"
	"hyperkube/apiserver/authz/webhook"
	"hyperkube/apiserver/bootstrapdata"
	"hyperkube/apiserver/filters"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/tokens"
	"hyperkube/internal/pki"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/store"
	"hyperkube/store/etcd"
	"hyperkube/store/seal"
)

// Options of an API server, typed and parsed.
type Options struct {
	Log      *slog.Logger
	Registry *prometheus.Registry

	// One of Etcd and EtcdServers.
	Etcd        *etcd.Server
	EtcdServers []string
	EtcdTLS     *tls.Config
	EtcdWait    bool // wait for servers that do not answer, telling why
	EtcdPrefix  string
	// EtcdCompaction is how often etcd's history is compacted: 0 is every 5 minutes, less than 0 never.
	EtcdCompaction time.Duration
	Keys           *seal.Config
	// KeysFile is where Keys were read; it is read again when it changes. Empty: Keys stay.
	KeysFile string

	Listener net.Listener // or
	Address  string
	TLS      apiserver.TLS
	// Advertise is how pods reach this server: the endpoint of the kubernetes service.
	Advertise netip.AddrPort

	// ClientCAs and FrontProxy also tell extension servers whom to trust.
	ClientCAs    *pki.Pool
	FrontProxy   *authn.FrontProxy
	TokenFile    string
	Anonymous    bool
	Issuer       string
	APIAudiences []string
	SigningKey   crypto.Signer
	VerifyKeys   func() []crypto.PublicKey
	// AlsoAccepted are issuers of older tokens; MaxTokenLife caps token requests (0: no cap).
	AlsoAccepted []string
	MaxTokenLife time.Duration
	JWKSURI      string
	// NoTokenExtension keeps the kubelet's hour an hour.
	NoTokenExtension bool

	// RuntimeConfig says which kinds are served: the words of registry.Choose.
	RuntimeConfig []string

	// AdmissionOff names admission plugins to leave out, AdmissionOn those to ask that are off by default.
	AdmissionOff, AdmissionOn []string

	// Authorization lists the modes in the order in which they are asked; empty: Node
	// and RBAC. ABAC and Webhook are those modes' own, when they are on the list.
	Authorization []string
	ABAC          abac.Policies
	Webhook       webhook.Config
	// PodSecurity is the configuration of that admission plugin; nil: its defaults.
	PodSecurity *podsecurity.Config

	Services  netip.Prefix
	NodePorts allocate.PortRange

	// KubeletClient is the certificate shown to kubelets, KubeletCAs what theirs are checked with.
	KubeletClient func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	KubeletCAs    *x509.CertPool

	// AddressTypes is the order in which nodes' addresses are tried; empty: connect's.
	AddressTypes []corev1.NodeAddressType

	AuditPath     string
	AuditMaxBytes int64 // of one file; 0: filters' default
	AuditCompress bool  // the files set aside
	AuditKeep     int   // older files; 0: filters' default

	Version string // gitVersion; empty: the default

	DetectMutation bool // test builds
}

// Assembly is an API server and what belongs to it.
type Assembly struct {
	o         Options
	Server    *apiserver.Server
	Store     *store.Store
	Tokens    *tokens.Service // issues service account tokens
	rbac      *authz.RBAC
	allocator *allocate.Allocator
	bootDone  chan struct{}
}

// New connects to etcd and builds the server.
func New(ctx context.Context, o Options) (*Assembly, error) {
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
		o.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	s, err := store.Open(ctx, store.Options{
		Etcd: o.Etcd, Servers: o.EtcdServers, TLS: o.EtcdTLS, Wait: o.EtcdWait, Prefix: o.EtcdPrefix, Keys: o.Keys, AllowPlain: o.Keys == nil,
		Compaction: o.EtcdCompaction, DetectMutation: o.DetectMutation, Log: o.Log, Registerer: o.Registry,
	})
	if err != nil {
		return nil, err
	}
	a := &Assembly{o: o, Store: s, bootDone: make(chan struct{})}
	if err := a.build(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return a, nil
}

func (a *Assembly) build() error {
	o := a.o
	types := scheme.New()
	all := kinds.All()
	hidden, err := registry.Choose(o.RuntimeConfig, all)
	if err != nil {
		return fmt.Errorf("--runtime-config: %w", err)
	}
	served, err := registry.Of(registry.Options{Store: a.Store, Scheme: types, Hidden: hidden}, all)
	if err != nil {
		return err
	}
	for _, r := range []store.Resource{allocate.Resource(), bootstrapdata.MasterLeases()} {
		if err := a.Store.Register(r); err != nil {
			return err
		}
	}
	a.allocator, err = allocate.New(allocate.Options{Log: o.Log, Store: a.Store, Services: o.Services, Ports: o.NodePorts})
	if err != nil {
		return err
	}
	so := apiserver.Options{
		Log: o.Log, Registry: o.Registry, Store: a.Store, Served: served, Scheme: types,
		Listener: o.Listener, Address: o.Address, TLS: o.TLS, Network: a.allocator, Handlers: map[string]http.Handler{},
	}
	if o.AuditPath != "" {
		so.Audit = &filters.AuditLog{Path: o.AuditPath, MaxBytes: o.AuditMaxBytes, Keep: o.AuditKeep, Compress: o.AuditCompress, Log: o.Log, Failures: trouble.Metric(o.Registry), LeftOut: filters.AuditLeftOut(o.Registry)}
	}
	if o.Version != "" {
		so.Version = apiserver.DefaultVersion()
		so.Version.GitVersion = o.Version
		// The build's metadata ends with the commit: v1.2.3+hyperkube.0123abc.
		if _, meta, ok := strings.Cut(o.Version, "+"); ok {
			so.Version.GitCommit = meta[strings.LastIndex(meta, ".")+1:]
		}
	}
	for _, add := range []func(*apiserver.Options) error{a.addAuthentication, a.addAuthorization, a.addAdmission, a.addDocuments, a.addConnect, a.addReadiness} {
		if err := add(&so); err != nil {
			return err
		}
	}
	a.Server, err = apiserver.New(so)
	return err
}

func (a *Assembly) addAuthentication(so *apiserver.Options) error {
	o := a.o
	service, err := tokens.New(tokens.Config{
		Issuer: o.Issuer, Key: o.SigningKey, VerifyKeys: o.VerifyKeys, APIAudiences: o.APIAudiences, Reader: a.Store,
		AlsoAccepted: o.AlsoAccepted, MaxLifetime: o.MaxTokenLife, NoExtension: o.NoTokenExtension, JWKSURI: o.JWKSURI,
	})
	if err != nil {
		return err
	}
	oidc := service.Handler()
	for _, path := range []string{"/.well-known/openid-configuration", "/openid/v1/jwks"} {
		so.Handlers[path] = oidc
	}
	who, err := authn.New(authn.Config{
		ClientCAs: o.ClientCAs, FrontProxy: o.FrontProxy, Tokens: []authn.TokenVerifier{service}, TokenFile: o.TokenFile,
		APIAudiences: service.Audiences(), Anonymous: o.Anonymous,
	})
	if err != nil {
		return err
	}
	a.Tokens = service
	so.Tokens, so.Authenticator, so.Authenticate = service, who, who.Token
	return nil
}

func (a *Assembly) addAuthorization(so *apiserver.Options) error {
	a.rbac = authz.NewRBAC(a.Store, a.o.Log)
	modes := a.o.Authorization
	if len(modes) == 0 {
		modes = []string{authz.ModeNode, authz.ModeRBAC}
	}
	by := map[string]request.Authorizer{authz.ModeNode: authz.NewNode(a.Store), authz.ModeRBAC: a.rbac, authz.ModeABAC: a.o.ABAC}
	if slices.Contains(modes, authz.ModeWebhook) {
		c := a.o.Webhook
		c.Teller = trouble.New(a.o.Log, trouble.Metric(a.o.Registry), "asking the authorization webhook")
		hook, err := webhook.New(c)
		if err != nil {
			return err
		}
		by[authz.ModeWebhook] = hook
	}
	var err error
	so.Authorizer, err = authz.Chain(modes, by)
	return err
}

// Ready is closed when the server listens and what every cluster has is written.
func (a *Assembly) Ready() <-chan struct{} { return a.bootDone }

const bootstrapTimeout = time.Minute

// Run serves until ctx ends.
func (a *Assembly) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.Store.Close()) }()
	if err := a.Store.Start(ctx); err != nil {
		return err
	}
	if err := a.Store.Ready(ctx); err != nil {
		return err
	}
	parts := supervise.NewParts(ctx)
	parts.Lasts("authorization index", a.rbac.Run)
	parts.Lasts("address allocation", a.allocator.Run)
	parts.Lasts("api server", a.Server.Run)
	parts.Ends("bootstrap", a.bootstrap)
	parts.Ends("endpoints of kubernetes", a.keepEndpoints)
	parts.Ends("client authorities", a.keepTrust)
	parts.Ends("encryption configuration", a.keepKeys)
	return parts.Wait()
}

// bootstrap writes what is missing of what every cluster has.
func (a *Assembly) bootstrap(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootstrapTimeout)
	defer cancel()
	err := a.ensureBasics(ctx)
	if errors.Is(err, store.ErrUnreadable) {
		// Without a server nobody could delete them.
		a.o.Log.Error("what every cluster has is not complete: delete the objects that cannot be read, or give back the key that opens them, and start this server again", "err", err)
		err = nil
	}
	if err != nil {
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil // told to stop meanwhile
		}
		return fmt.Errorf("writing what every cluster has: %w", err)
	}
	select {
	case <-a.Server.Ready():
		close(a.bootDone)
	case <-ctx.Done():
	}
	return nil
}
