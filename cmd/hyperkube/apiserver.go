package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver"
	"hyperkube/apiserver/admission/plugins"
	"hyperkube/apiserver/allocate"
	"hyperkube/apiserver/assembly"
	"hyperkube/apiserver/authn"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/authz/abac"
	"hyperkube/cluster"
	"hyperkube/internal/pki"
	"hyperkube/internal/resident"
	"hyperkube/internal/trouble"
	"hyperkube/kubelet/node"
	"hyperkube/store/seal"
)

// apiserverFlags are those that need more than being stored.
type apiserverFlags struct {
	etcdCA, etcdCert, etcdKey                string
	bind, advertise                          string
	port                                     int
	clientCA, encryption                     string
	issuers, keyFiles                        []string
	signingKey                               string
	services                                 string
	nodePorts                                string
	authorization                            []string
	policyFile, admissionConfig              string
	kubeletCert, kubeletKey, kubeletCA       string
	addressTypes                             []string
	headerCA                                 string
	headerNames, users, uids, groups, extras []string
	proxyCert, proxyKey                      string
	admissionOn, admissionOff                []string
	auditMegabytes                           int64
	extendTokens, allowPrivileged, rekey     bool
	tls                                      tlsVersion
	verbosity                                int
	compaction                               time.Duration
}

func apiserverCommand() *cobra.Command {
	var (
		o assembly.Options
		v apiserverFlags
	)
	c, f := roleCommand("apiserver", "Run the API server (kube-apiserver)", func(c *cobra.Command) error {
		o.Log = roleLog("apiserver", v.verbosity)
		o.Version, o.Registry = version+"+"+buildMeta, cluster.ProcessRegistry()
		o.EtcdWait = true
		if err := v.fill(c.Flags(), &o); err != nil {
			return err
		}
		a, err := assembly.New(c.Context(), o)
		if err != nil {
			return err
		}
		return smaller(c.Context(), resident.Options{Forget: a.Store.Forget, Log: o.Log}, a.Run)
	})
	f.everyFlag(&v.verbosity)
	v.connections(f, &o)
	v.identity(f, &o)
	v.rules(f, &o)
	v.others(f)
	return c
}

// connections: etcd, the API's own port, kubelets.
func (v *apiserverFlags) connections(f standardFlags, o *assembly.Options) {
	f.StringSliceVar(&o.EtcdServers, "etcd-servers", nil, "URLs of etcd, e.g. https://127.0.0.1:2379")
	f.StringVar(&o.EtcdPrefix, "etcd-prefix", "/registry", "where in etcd the objects lie")
	f.DurationVar(&v.compaction, "etcd-compaction-interval", 5*time.Minute, "how often etcd's history is compacted, by one of its API servers; 0: never by this one")
	f.StringVar(&v.etcdCA, "etcd-cafile", "", "CA that signed etcd's certificate")
	f.StringVar(&v.etcdCert, "etcd-certfile", "", "certificate shown to etcd; it is read again when it changes")
	f.StringVar(&v.etcdKey, "etcd-keyfile", "", "key of that certificate")
	f.StringVar(&v.encryption, "encryption-provider-config", "", "file with an EncryptionConfiguration: what is encrypted in etcd, and how")
	f.BoolVar(&v.rekey, "encryption-provider-config-automatic-reload", false, "take over --encryption-provider-config when it changes; one without a key that something stored needs is refused")
	f.StringVar(&v.bind, "bind-address", "0.0.0.0", "address on which the API is served")
	f.IntVar(&v.port, "secure-port", 6443, "port on which the API is served")
	f.StringVar(&v.advertise, "advertise-address", "", "address under which pods reach this server (default: --bind-address, or that of the default route)")
	f.StringVar(&o.TLS.CertFile, "tls-cert-file", "", "certificate of this server, e.g. apiserver.crt; it is read again when it changes")
	f.StringVar(&o.TLS.KeyFile, "tls-private-key-file", "", "key of that certificate, e.g. apiserver.key")
	f.StringVar(&v.kubeletCert, "kubelet-client-certificate", "", "certificate shown to kubelets; it is read again when it changes")
	f.StringVar(&v.kubeletKey, "kubelet-client-key", "", "key of that certificate")
	f.StringVar(&v.kubeletCA, "kubelet-certificate-authority", "", "CA of the kubelets' certificates; without it they are not checked")
	f.StringSliceVar(&v.addressTypes, "kubelet-preferred-address-types", []string{"Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"},
		"which of a node's addresses to try, in this order")
}

// identity: who may come in.
func (v *apiserverFlags) identity(f standardFlags, o *assembly.Options) {
	f.StringVar(&v.clientCA, "client-ca-file", "", "CA of the clients that show certificates; it is read again when it changes")
	f.StringVar(&o.TokenFile, "token-auth-file", "", "CSV of token, user, uid and groups")
	f.BoolVar(&o.Anonymous, "anonymous-auth", true, "let requests in that name nobody, as system:anonymous")
	f.StringSliceVar(&v.issuers, "service-account-issuer", nil, "issuer of service account tokens, e.g. https://kubernetes.default.svc.cluster.local; further ones are accepted")
	f.StringSliceVar(&v.keyFiles, "service-account-key-file", nil, "keys that verify service account tokens (default: the signing key); they are read again when they change")
	f.StringVar(&v.signingKey, "service-account-signing-key-file", "", "key that signs service account tokens, e.g. sa.key")
	f.StringVar(&o.JWKSURI, "service-account-jwks-uri", "", "where others find the keys that verify tokens")
	f.DurationVar(&o.MaxTokenLife, "service-account-max-token-expiration", 0, "longest life of a token that is asked for")
	f.BoolVar(&v.extendTokens, "service-account-extend-token-expiration", true, "let the tokens of pods live on for old clients that never read them again")
	f.StringSliceVar(&o.APIAudiences, "api-audiences", nil, "what this server is called in tokens (default: the issuer)")
	f.StringVar(&v.headerCA, "requestheader-client-ca-file", "", "CA of the proxies that may say for whom they ask; it is read again when it changes")
	f.StringSliceVar(&v.headerNames, "requestheader-allowed-names", nil, "common names of those proxies (default: any)")
	f.StringSliceVar(&v.users, "requestheader-username-headers", []string{"X-Remote-User"}, "headers that hold the user")
	f.StringSliceVar(&v.uids, "requestheader-uid-headers", []string{"X-Remote-Uid"}, "headers that hold the user's uid")
	f.StringSliceVar(&v.groups, "requestheader-group-headers", []string{"X-Remote-Group"}, "headers that hold groups")
	f.StringSliceVar(&v.extras, "requestheader-extra-headers-prefix", []string{"X-Remote-Extra-"}, "what headers with further facts start with")
	f.StringVar(&v.proxyCert, "proxy-client-cert-file", "", "certificate for extension servers; there are none yet, so that it has no effect")
	f.StringVar(&v.proxyKey, "proxy-client-key-file", "", "key of that certificate")
}

// rules: what clients may do and what is written down.
func (v *apiserverFlags) rules(f standardFlags, o *assembly.Options) {
	f.StringSliceVar(&v.authorization, "authorization-mode", []string{"Node", "RBAC"}, "who decides, asked in this order: any of Node, RBAC, ABAC, Webhook, AlwaysAllow, AlwaysDeny")
	f.StringVar(&v.policyFile, "authorization-policy-file", "", "policies of mode ABAC, one JSON object a line")
	f.StringVar(&o.Webhook.File, "authorization-webhook-config-file", "", "kubeconfig of the service that mode Webhook asks")
	f.StringVar(&o.Webhook.Version, "authorization-webhook-version", "v1beta1", "version of authorization.k8s.io in which it is asked: v1beta1 or v1")
	f.DurationVar(&o.Webhook.Authorized, "authorization-webhook-cache-authorized-ttl", 5*time.Minute, "how long its allowances are remembered")
	f.DurationVar(&o.Webhook.Unauthorized, "authorization-webhook-cache-unauthorized-ttl", 30*time.Second, "how long its refusals are remembered")
	f.StringVar(&v.admissionConfig, "admission-control-config-file", "", "AdmissionConfiguration with the configuration of PodSecurity")
	f.StringSliceVar(&v.admissionOn, "enable-admission-plugins", nil, "admission plugins that must be on; all there are are by default, but for "+strings.Join(plugins.OffByDefault(), ", "))
	f.StringSliceVar(&v.admissionOff, "disable-admission-plugins", nil, "admission plugins to leave out")
	f.StringVar(&v.services, "service-cluster-ip-range", "10.0.0.0/24", "network of the services")
	f.StringVar(&v.nodePorts, "service-node-port-range", "30000-32767", "ports for services of type NodePort")
	f.StringVar(&o.AuditPath, "audit-log-path", "", "file of the audit log; none without it")
	f.Int64Var(&v.auditMegabytes, "audit-log-maxsize", 0, "megabytes after which the audit log is set aside (default 100)")
	f.IntVar(&o.AuditKeep, "audit-log-maxbackup", 0, "audit logs set aside that are kept (default 10)")
	f.StringSliceVar(&o.RuntimeConfig, "runtime-config", nil, "which kinds are served: <group>/<version>[/<resource>]=true or false, api/all, api/ga, api/beta, api/alpha")
	f.BoolVar(&v.allowPrivileged, "allow-privileged", false, "accepted; pods may be privileged where Pod Security admission lets them")
}

// others are the flags that say what is so anyway, or what is not there.
func (v *apiserverFlags) others(f standardFlags) {
	f.only("etcd's is the one store", "storage-backend", "etcd3")
	f.only("objects are stored as protobuf", "storage-media-type", "application/vnd.kubernetes.protobuf")
	f.only("everybody may come over TLS only", "insecure-port", "0")
	f.Var(&v.tls, "tls-min-version", "least version of TLS: VersionTLS12 or VersionTLS13")
	f.only("the API server repairs its endpoint in the kubernetes service itself", "endpoint-reconciler-type", "lease")
	f.only("reads are always served from memory", "watch-cache", "true")
	f.only("requests are limited by their number", "enable-priority-and-fairness", "false")
	f.only("one JSON document a line", "audit-log-format", "json")
	f.only("profiles are not served", "profiling", "false")
	f.refuse("Go's choice of ciphers for TLS 1.2 and later is used", "tls-cipher-suites", "tls-curve-preferences", "tls-sni-cert-key")
	f.refuse("name certificate and key with --tls-cert-file and --tls-private-key-file", "cert-dir")
	f.refuse("custom authorization is not there yet: use --authorization-mode", "authorization-config")
	f.refuse("logins of others are not there yet: use certificates, tokens or --token-auth-file", "authentication-config", "oidc-issuer-url", "oidc-client-id",
		"oidc-ca-file", "oidc-username-claim", "oidc-username-prefix", "oidc-groups-claim", "oidc-groups-prefix", "oidc-required-claim", "oidc-signing-algs",
		"authentication-token-webhook-config-file", "authentication-token-webhook-cache-ttl", "authentication-token-webhook-version")
	f.only("bootstrap tokens are not there yet: use --token-auth-file", "enable-bootstrap-token-auth", "false")
	f.refuse("the audit policy is fixed: metadata of all requests that change something or fail", "audit-policy-file", "audit-webhook-config-file", "audit-log-maxage",
		"audit-log-mode", "audit-log-batch-buffer-size", "audit-webhook-mode")
	f.only("extension servers are not there yet", "enable-aggregator-routing", "false")
	f.refuse("name the plugins with --enable-admission-plugins and --disable-admission-plugins", "admission-control")
	f.refuse("all kinds share one etcd", "etcd-servers-overrides")
	f.refuse("this is the version that is served", "emulated-version", "min-compatibility-version")
	f.refuse("tracing is not there yet", "tracing-config-file", "egress-selector-config-file")
	f.refuse("limits are fixed: 400 reads and 200 writes under way, a minute each", "max-requests-inflight", "max-mutating-requests-inflight", "request-timeout",
		"min-request-timeout", "goaway-chance", "default-watch-cache-size", "watch-cache-sizes")
	f.refuse("events stay an hour", "event-ttl")
	f.refuse("browsers of other sites are not let in", "cors-allowed-origins")
	f.refuse("the service network has one address for this server: name it with --advertise-address", "external-hostname", "kubernetes-service-node-port", "apiserver-count")
}

func (v *apiserverFlags) fill(f *pflag.FlagSet, o *assembly.Options) error {
	if err := need(f, "etcd-servers", "tls-cert-file", "tls-private-key-file", "service-account-issuer", "service-account-signing-key-file"); err != nil {
		return err
	}
	if err := v.fillAuthorization(f, o); err != nil {
		return err
	}
	for _, step := range []func(*assembly.Options) error{v.fillEtcd, v.fillAddress, v.fillTokens, v.fillClients, v.fillKubelets, v.fillServices, v.fillAdmission} {
		if err := step(o); err != nil {
			return err
		}
	}
	if o.AuditPath == "-" {
		return errors.New("--audit-log-path=- is not supported: name a file")
	}
	o.AuditMaxBytes = v.auditMegabytes << 20
	return nil
}

func (v *apiserverFlags) fillEtcd(o *assembly.Options) (err error) {
	if o.EtcdCompaction = v.compaction; v.compaction <= 0 {
		o.EtcdCompaction = -1
	}
	if v.rekey && v.encryption == "" {
		return errors.New("--encryption-provider-config-automatic-reload needs --encryption-provider-config")
	}
	if v.encryption != "" {
		if o.Keys, err = seal.Load(v.encryption); err != nil {
			return fmt.Errorf("--encryption-provider-config: %w", err)
		}
		if v.rekey {
			o.KeysFile = v.encryption
		}
	}
	if err := pairFlags("etcd-certfile", v.etcdCert, "etcd-keyfile", v.etcdKey); err != nil {
		return err
	}
	if v.etcdCA == "" && v.etcdCert == "" {
		return nil
	}
	o.EtcdTLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if v.etcdCA != "" {
		if o.EtcdTLS.RootCAs, _, err = readPool("etcd-cafile", v.etcdCA); err != nil {
			return err
		}
	}
	if v.etcdCert == "" {
		return nil
	}
	pair, err := pki.NewFilePair("--etcd-certfile and --etcd-keyfile", v.etcdCert, v.etcdKey, o.Log)
	if err != nil {
		return err
	}
	o.EtcdTLS.GetClientCertificate = pair.Client
	return nil
}

func (v *apiserverFlags) fillAddress(o *assembly.Options) error {
	bind, err := netip.ParseAddr(v.bind)
	if err != nil {
		return fmt.Errorf("--bind-address %q: want an address", v.bind)
	}
	if v.port < 1 || v.port > 65535 {
		return fmt.Errorf("--secure-port %d: want a port between 1 and 65535", v.port)
	}
	o.Address = net.JoinHostPort(v.bind, strconv.Itoa(v.port))
	switch {
	case v.advertise != "":
	case !bind.IsUnspecified():
		v.advertise = v.bind
	default:
		found, err := node.Addresses()
		if err != nil {
			return fmt.Errorf("--advertise-address is missing and cannot be guessed: %w", err)
		}
		v.advertise = found[0]
	}
	ip, err := netip.ParseAddr(v.advertise)
	if err != nil {
		return fmt.Errorf("--advertise-address %q: want an address", v.advertise)
	}
	o.Advertise = netip.AddrPortFrom(ip, uint16(v.port))
	return nil
}

func (v *apiserverFlags) fillTokens(o *assembly.Options) (err error) {
	o.Issuer, o.AlsoAccepted, o.NoTokenExtension = v.issuers[0], v.issuers[1:], !v.extendTokens
	if o.SigningKey, err = readKey("service-account-signing-key-file", v.signingKey); err != nil {
		return err
	}
	if len(v.keyFiles) == 0 {
		return nil
	}
	keys, err := pki.NewReread("--service-account-key-file", v.keyFiles, func(contents [][]byte) ([]crypto.PublicKey, error) {
		return publicKeys(v.keyFiles, contents)
	}, again(o, "--service-account-key-file"))
	if err != nil {
		return err
	}
	o.VerifyKeys = keys.Get
	return nil
}

func (v *apiserverFlags) fillClients(o *assembly.Options) (err error) {
	var welcome []*pki.Pool
	if v.clientCA != "" {
		if o.ClientCAs, err = pki.NewPool("--client-ca-file", v.clientCA, again(o, "--client-ca-file")); err != nil {
			return err
		}
		welcome = append(welcome, o.ClientCAs)
	}
	if v.headerCA != "" {
		proxies, err := pki.NewPool("--requestheader-client-ca-file", v.headerCA, again(o, "--requestheader-client-ca-file"))
		if err != nil {
			return err
		}
		welcome = append(welcome, proxies)
		o.FrontProxy = &authn.FrontProxy{CAs: proxies, AllowedNames: v.headerNames, UserHeaders: v.users, UIDHeaders: v.uids, GroupHeaders: v.groups, ExtraPrefixes: v.extras}
	}
	o.TLS = apiserver.TLS{CertFile: o.TLS.CertFile, KeyFile: o.TLS.KeyFile, ClientCAs: welcome, MinVersion: uint16(v.tls)}
	if v.proxyCert != "" || v.proxyKey != "" {
		o.Log.Warn("extension API servers are not there yet: the certificate for them has no effect", "flags", "--proxy-client-cert-file, --proxy-client-key-file")
	}
	return pairFlags("proxy-client-cert-file", v.proxyCert, "proxy-client-key-file", v.proxyKey)
}

// again tells of files that cannot be read again.
func again(o *assembly.Options, flag string) *trouble.Teller {
	return trouble.New(o.Log, trouble.Metric(o.Registry), "reading "+flag+" again")
}

func (v *apiserverFlags) fillKubelets(o *assembly.Options) (err error) {
	if err := pairFlags("kubelet-client-certificate", v.kubeletCert, "kubelet-client-key", v.kubeletKey); err != nil {
		return err
	}
	if v.kubeletCert != "" {
		pair, err := pki.NewFilePair("--kubelet-client-certificate and --kubelet-client-key", v.kubeletCert, v.kubeletKey, o.Log)
		if err != nil {
			return err
		}
		o.KubeletClient = pair.Client
	}
	if v.kubeletCA != "" {
		o.KubeletCAs, _, err = readPool("kubelet-certificate-authority", v.kubeletCA)
	}
	for _, t := range v.addressTypes {
		a := corev1.NodeAddressType(t)
		switch a {
		case corev1.NodeHostName, corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeInternalDNS, corev1.NodeExternalDNS:
			o.AddressTypes = append(o.AddressTypes, a)
		default:
			return fmt.Errorf("--kubelet-preferred-address-types: %q is none of Hostname, InternalDNS, InternalIP, ExternalDNS, ExternalIP", t)
		}
	}
	return err
}

func (v *apiserverFlags) fillServices(o *assembly.Options) error {
	nets, err := prefixes("service-cluster-ip-range", v.services)
	if err != nil {
		return err
	}
	if len(nets) != 1 || !nets[0].Addr().Is4() {
		return fmt.Errorf("--service-cluster-ip-range %q: one IPv4 network is supported", v.services)
	}
	o.Services = nets[0]
	var r allocate.PortRange
	if _, err := fmt.Sscanf(v.nodePorts, "%d-%d", &r.First, &r.Last); err != nil || r.First < 1 || r.Last < r.First || r.Last > 65535 {
		return fmt.Errorf("--service-node-port-range %q: want FIRST-LAST, e.g. 30000-32767", v.nodePorts)
	}
	o.NodePorts = r
	return nil
}

func (v *apiserverFlags) fillAdmission(o *assembly.Options) error {
	there := plugins.Names()
	for _, list := range []struct {
		flag  string
		names []string
	}{{"enable-admission-plugins", v.admissionOn}, {"disable-admission-plugins", v.admissionOff}} {
		for _, n := range list.names {
			if !slices.Contains(there, n) {
				return fmt.Errorf("--%s: %q is not supported; there are %s", list.flag, n, strings.Join(there, ", "))
			}
		}
	}
	for _, n := range v.admissionOn {
		if slices.Contains(v.admissionOff, n) {
			return fmt.Errorf("%q is in both --enable-admission-plugins and --disable-admission-plugins", n)
		}
	}
	o.AdmissionOff, o.AdmissionOn = v.admissionOff, v.admissionOn
	if v.admissionConfig == "" {
		return nil
	}
	c, err := plugins.LoadConfig(v.admissionConfig)
	if err != nil {
		return fmt.Errorf("--admission-control-config-file: %w", err)
	}
	o.PodSecurity = c.PodSecurity
	return nil
}

func (v *apiserverFlags) fillAuthorization(f *pflag.FlagSet, o *assembly.Options) error {
	o.Authorization = v.authorization
	if err := authz.CheckModes(o.Authorization); err != nil {
		return fmt.Errorf("--%w", err)
	}
	for _, x := range []struct{ mode, flag, file string }{
		{authz.ModeABAC, "authorization-policy-file", v.policyFile},
		{authz.ModeWebhook, "authorization-webhook-config-file", o.Webhook.File},
	} {
		switch on := slices.Contains(o.Authorization, x.mode); {
		case on && x.file == "":
			return fmt.Errorf("--authorization-mode=%s needs --%s", x.mode, x.flag)
		case !on && x.file != "":
			return fmt.Errorf("cannot specify --%s without mode %s", x.flag, x.mode)
		}
	}
	if v.policyFile != "" {
		var err error
		if o.ABAC, err = abac.Load(v.policyFile); err != nil {
			return fmt.Errorf("--authorization-policy-file: %w", err)
		}
	}
	if !slices.Contains(o.Authorization, authz.ModeAlwaysAllow) {
		return nil
	}
	if o.Anonymous && f.Changed("anonymous-auth") {
		return errors.New("--authorization-mode=AlwaysAllow with --anonymous-auth=true would let everybody do everything: drop one of them")
	}
	o.Anonymous = false
	o.Log.Warn("everybody whom this server knows may do everything", slog.String("because", "--authorization-mode=AlwaysAllow"))
	return nil
}

// smaller is small with settings of the role's own.
func smaller(ctx context.Context, o resident.Options, run func(context.Context) error) error {
	return beside(ctx, func(ctx context.Context) { resident.Keep(ctx, o) }, run)
}
