package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hyperkube/cluster"
)

// standardFlags adds to a flag set what a standard daemon knows and we do not:
// nothing that was asked for is passed over in silence.
type standardFlags struct{ *pflag.FlagSet }

// fixed is a flag that may only say what is so anyway.
type fixed struct {
	why    string
	values []string // none: any use of the flag is refused
	now    string
}

func (f *fixed) String() string { return f.now }
func (f *fixed) Type() string   { return "string" }
func (f *fixed) Set(v string) error {
	switch {
	case len(f.values) == 0 && (v == "false" || v == ""): // does not ask for it
	case len(f.values) == 0:
		return errors.New("not supported: " + f.why)
	case !slices.Contains(f.values, v):
		return fmt.Errorf("only %s is supported: %s", strings.Join(f.values, " or "), f.why)
	}
	f.now = v
	return nil
}

// refuse declares flags that are known and not supported.
func (f standardFlags) refuse(why string, names ...string) {
	for _, n := range names {
		f.VarPF(&fixed{why: why}, n, "", "not supported").NoOptDefVal = "true"
		f.hide(n)
	}
}

// only declares a flag that may repeat how things are.
func (f standardFlags) only(why, name string, values ...string) {
	p := f.VarPF(&fixed{why: why, values: values, now: values[0]}, name, "", "only "+strings.Join(values, " or "))
	if slices.Contains(values, "true") || slices.Contains(values, "false") {
		p.NoOptDefVal = "true"
	}
	f.hide(name)
}

// noop declares flags that change nothing here; saying one is answered with a warning.
func (f standardFlags) noop(why string, names ...string) {
	for _, n := range names {
		f.String(n, "", "no effect")
		// MarkDeprecated fails for flags that are not there only.
		_ = f.MarkDeprecated(n, why)
	}
}

func (f standardFlags) noopBool(why, name string, value bool) {
	f.Bool(name, value, "no effect")
	_ = f.MarkDeprecated(name, why)
}

func (f standardFlags) hide(name string) { f.Lookup(name).Hidden = true }

// clientFlags are those with which a role finds its API server.
func (f standardFlags) clientFlags(c *cluster.Client, qps float32, burst int) {
	f.StringVar(&c.Kubeconfig, "kubeconfig", "", "file that says where the API server is and who this role is")
	f.StringVar(&c.Master, "master", "", "address of the API server, instead of the kubeconfig's")
	f.Float32Var(&c.QPS, "kube-api-qps", qps, "writes to the API server a second")
	f.IntVar(&c.Burst, "kube-api-burst", burst, "writes to the API server at once")
	f.StringVar(&c.ContentType, "kube-api-content-type", "application/vnd.kubernetes.protobuf", "format of requests to the API server")
}

// electionFlags are --leader-elect and its like.
func (f standardFlags) electionFlags(e *cluster.Election, name string) {
	f.BoolVar(&e.Enabled, "leader-elect", true, "take turns with the same role on other servers")
	f.DurationVar(&e.Duration, "leader-elect-lease-duration", leaseDuration, "how long others wait for a holder that went silent")
	f.DurationVar(&e.Renew, "leader-elect-renew-deadline", leaseRenew, "how long the holder tries to renew before it stops working")
	f.DurationVar(&e.Retry, "leader-elect-retry-period", leaseRetry, "time between attempts to take or renew")
	f.StringVar(&e.Name, "leader-elect-resource-name", name, "name of the lease")
	f.StringVar(&e.Namespace, "leader-elect-resource-namespace", "kube-system", "namespace of the lease")
	f.only("leases are the one lock", "leader-elect-resource-lock", "leases")
}

// portFlags describe the port for health and metrics.
type portFlags struct {
	bind, cert, key, clientCA string
	port                      int
	profiling                 bool
	tls                       tlsVersion
}

func (p *portFlags) add(f standardFlags, port int) {
	f.StringVar(&p.bind, "bind-address", "0.0.0.0", "address on which health and metrics are served")
	f.IntVar(&p.port, "secure-port", port, "port on which health and metrics are served over TLS; 0 for none")
	f.StringVar(&p.cert, "tls-cert-file", "", "certificate of that port (default: one made at the start)")
	f.StringVar(&p.key, "tls-private-key-file", "", "key of that certificate")
	f.StringVar(&p.clientCA, "client-ca-file", "", "CA of the clients that may show certificates")
	f.BoolVar(&p.profiling, "profiling", true, "serve profiles beside the metrics, to those who may see them")
	f.only("the API server of --kubeconfig judges tokens and access", "authentication-tolerate-lookup-failure", "true", "false")
	f.only("health is open to everybody, nothing else is", "authorization-always-allow-paths", "/healthz,/readyz,/livez", "/healthz")
	f.noop("readers of metrics show a token, or a certificate of --client-ca-file; the API server of --kubeconfig judges them",
		"authentication-kubeconfig", "authorization-kubeconfig", "requestheader-client-ca-file", "requestheader-allowed-names",
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers", "requestheader-extra-headers-prefix")
	f.refuse("the certificate made at the start is kept in memory", "cert-dir")
	f.refuse("Go's choice of ciphers for TLS 1.2 and later is used", "tls-cipher-suites", "tls-curve-preferences", "tls-sni-cert-key")
	f.Var(&p.tls, "tls-min-version", "least version of TLS: VersionTLS12 or VersionTLS13")
	f.refuse("health and metrics are served over TLS, see --secure-port", "port", "address")
}

func (p portFlags) typed() (cluster.Port, error) {
	if p.port == 0 {
		return cluster.Port{}, nil
	}
	o := cluster.Port{Address: net.JoinHostPort(p.bind, strconv.Itoa(p.port)), CertFile: p.cert, KeyFile: p.key, Debug: p.profiling, MinVersion: uint16(p.tls)}
	o.ClientCAFile = p.clientCA
	return o, nil
}

// everyFlag is what all standard daemons share.
func (f standardFlags) everyFlag(verbosity *int) {
	f.IntVarP(verbosity, "v", "v", 0, "how much to log; 4 and more for finding faults")
	f.only("structured text is the one format", "logging-format", "text")
	f.refuse("there are no feature gates: what works is on", "feature-gates")
	f.refuse("logs go to standard error, with one level for all: see -v", "vmodule", "log-flush-frequency", "log-text-split-stream", "log-text-info-buffer-size",
		"log-json-split-stream", "log-json-info-buffer-size", "alsologtostderr", "log-dir", "log-file")
	f.only("logs go to standard error", "logtostderr", "true")
	f.refuse("all metrics have one name, and none is hidden", "show-hidden-metrics-for-version", "disabled-metrics", "allow-metric-labels", "allow-metric-labels-manifest")
	f.noopBool("it has no effect", "contention-profiling", false)
}

// role is a command for a daemon: only flags, no arguments.
func roleCommand(use, short string, run func(*cobra.Command) error) (*cobra.Command, standardFlags) {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return run(c) }}
	c.Version = version
	c.SetVersionTemplate("Kubernetes {{.Version}}\n")
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	return c, standardFlags{c.Flags()}
}

// prefixes parses a list of networks.
func prefixes(flag string, list ...string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		for one := range strings.SplitSeq(s, ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			p, err := netip.ParsePrefix(one)
			if err != nil {
				return nil, fmt.Errorf("--%s %q: want networks like 10.244.0.0/16", flag, one)
			}
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

// need refuses flags that were left empty.
func need(f *pflag.FlagSet, names ...string) error {
	for _, n := range names {
		p := f.Lookup(n)
		if v := p.Value.String(); v == "" || v == "[]" {
			return fmt.Errorf("--%s is missing: %s", n, p.Usage)
		}
	}
	return nil
}
