package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/cluster"
	"hyperkube/proxy"
)

// proxyFlags are those that need more than being stored.
type proxyFlags struct {
	config, mode, clusterCIDR string
	addresses                 []string
	healthz, metrics          string
	verbosity                 int
}

func proxyCommand() *cobra.Command {
	var (
		v      proxyFlags
		o      proxy.Options
		client = cluster.Client{Agent: "kube-proxy"}
	)
	c, f := roleCommand("proxy", "Run the service proxy (kube-proxy)", func(c *cobra.Command) error {
		o.Log = roleLog("proxy", v.verbosity)
		if v.config != "" {
			if err := v.readConfig(c.Flags(), &o, &client); err != nil {
				return err
			}
		}
		if err := v.fill(&o); err != nil {
			return err
		}
		return small(c.Context(), func(ctx context.Context) error { return cluster.RunProxy(ctx, client, o) })
	})
	f.everyFlag(&v.verbosity)
	f.clientFlags(&client, 5, 10)
	f.StringVar(&v.config, "config", "", "file with a KubeProxyConfiguration; flags go before it")
	f.StringVar(&o.NodeName, "hostname-override", "", "name of the node, when it is not the host's")
	f.StringVar(&v.clusterCIDR, "cluster-cidr", "", "networks of the pods: others that call a service are masqueraded")
	f.StringVar(&v.mode, "proxy-mode", "nftables", "nftables")
	f.StringVar(&v.healthz, "healthz-bind-address", "0.0.0.0:10256", "where health is served; empty for nowhere")
	f.StringVar(&v.metrics, "metrics-bind-address", "127.0.0.1:10249", "where metrics are served; empty for nowhere")
	f.StringSliceVar(&v.addresses, "nodeport-addresses", nil, "networks of the node's addresses on which node ports answer (default: all)")
	f.DurationVar(&o.MinSyncPeriod, "nftables-min-sync-period", 0, "least time between two changes of the rules")
	f.noop("rules follow events; there is no clock that repeats them", "nftables-sync-period", "config-sync-period")
	f.noop("addresses need not be bound", "bind-address")
	f.only("pods are told from others by --cluster-cidr", "detect-local-mode", "ClusterCIDR", "")
	f.only("profiles are not served", "profiling", "false")
	f.refuse("the rules are nftables, see --proxy-mode", "iptables-masquerade-bit", "iptables-min-sync-period", "iptables-sync-period", "iptables-localhost-nodeports",
		"ipvs-scheduler", "ipvs-min-sync-period", "ipvs-sync-period", "ipvs-exclude-cidrs", "ipvs-strict-arp", "ipvs-tcp-timeout", "ipvs-tcpfin-timeout", "ipvs-udp-timeout",
		"nftables-masquerade-bit")
	f.refuse("what is not from a pod and must be masqueraded already is", "masquerade-all", "pod-bridge-interface", "pod-interface-name-prefix")
	f.refuse("conntrack's limits are the host's", "conntrack-max-per-core", "conntrack-min", "conntrack-tcp-timeout-close-wait", "conntrack-tcp-timeout-established",
		"conntrack-tcp-be-liberal", "conntrack-udp-timeout", "conntrack-udp-timeout-stream")
	f.refuse("rules stay when the proxy ends; `hyperkube reset` removes a cluster's", "cleanup")
	f.refuse("the oom score is the service manager's business", "oom-score-adj")
	f.refuse("the configuration cannot be written out", "write-config-to", "init-only", "bind-address-hard-fail")
	return c
}

// proxyConfig is what we take of a KubeProxyConfiguration.
type proxyConfig struct {
	metav1.TypeMeta  `json:",inline"`
	BindAddress      string `json:"bindAddress"` // never bound
	ClientConnection struct {
		Kubeconfig         string  `json:"kubeconfig"`
		ContentType        string  `json:"contentType"`
		AcceptContentTypes string  `json:"acceptContentTypes"`
		QPS                float32 `json:"qps"`
		Burst              int     `json:"burst"`
	} `json:"clientConnection"`
	ClusterCIDR        string   `json:"clusterCIDR"`
	HostnameOverride   string   `json:"hostnameOverride"`
	Mode               string   `json:"mode"`
	HealthzBindAddress *string  `json:"healthzBindAddress"`
	MetricsBindAddress *string  `json:"metricsBindAddress"`
	NodePortAddresses  []string `json:"nodePortAddresses"`
	NFTables           struct {
		MinSyncPeriod metav1.Duration `json:"minSyncPeriod"`
		SyncPeriod    metav1.Duration `json:"syncPeriod"`
	} `json:"nftables"`
}

// readConfig takes from the file what no flag said.
func (v *proxyFlags) readConfig(f *pflag.FlagSet, o *proxy.Options, c *cluster.Client) error {
	var p proxyConfig
	if err := readStrict(v.config, &p, "kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"); err != nil {
		return err
	}
	text := func(flag string, to *string, from string) {
		if from != "" && !f.Changed(flag) {
			*to = from
		}
	}
	text("kubeconfig", &c.Kubeconfig, p.ClientConnection.Kubeconfig)
	text("kube-api-content-type", &c.ContentType, p.ClientConnection.ContentType)
	text("cluster-cidr", &v.clusterCIDR, p.ClusterCIDR)
	text("hostname-override", &o.NodeName, p.HostnameOverride)
	// In the file an empty mode is the platform's default: here nftables.
	text("proxy-mode", &v.mode, p.Mode)
	for flag, a := range map[string]struct{ to, from *string }{
		"healthz-bind-address": {&v.healthz, p.HealthzBindAddress}, "metrics-bind-address": {&v.metrics, p.MetricsBindAddress},
	} {
		if a.from != nil && !f.Changed(flag) {
			*a.to = *a.from
		}
	}
	if !f.Changed("nodeport-addresses") {
		v.addresses = p.NodePortAddresses
	}
	if !f.Changed("kube-api-qps") {
		c.QPS = cmp.Or(p.ClientConnection.QPS, c.QPS)
	}
	if !f.Changed("kube-api-burst") {
		c.Burst = cmp.Or(p.ClientConnection.Burst, c.Burst)
	}
	if !f.Changed("nftables-min-sync-period") {
		o.MinSyncPeriod = p.NFTables.MinSyncPeriod.Duration
	}
	return nil
}

func (v *proxyFlags) fill(o *proxy.Options) (err error) {
	if v.mode != "nftables" {
		return fmt.Errorf("--proxy-mode %q is not supported: services are rules in nftables, which need no iptables, ipvs or nft program; say nftables", v.mode)
	}
	if o.NodeName, err = nodeName(o.NodeName, "--hostname-override"); err != nil {
		return err
	}
	if o.ClusterCIDRs, err = prefixes("cluster-cidr", v.clusterCIDR); err != nil {
		return err
	}
	if o.NodePortAddresses, err = prefixes("nodeport-addresses", v.addresses...); err != nil {
		return err
	}
	if o.HealthzAddress, err = bindAddress("healthz-bind-address", v.healthz, 10256); err != nil {
		return err
	}
	o.MetricsAddress, err = bindAddress("metrics-bind-address", v.metrics, 10249)
	return err
}

// bindAddress is host:port, a host alone, or "-" for an empty flag.
func bindAddress(flag, s string, port int) (string, error) {
	if s == "" {
		return "-", nil
	}
	if net.ParseIP(s) != nil {
		return net.JoinHostPort(s, strconv.Itoa(port)), nil
	}
	if host, _, err := net.SplitHostPort(s); err != nil || host != "" && net.ParseIP(host) == nil {
		return "", fmt.Errorf("--%s %q: want ADDRESS:PORT", flag, s)
	}
	return s, nil
}

// nodeName is the host's name where a flag gives no other.
func nodeName(override, flag string) (string, error) {
	if override == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("the host's name: %w (say %s)", err, flag)
		}
		override = host
	}
	return cluster.NodeName(override, flag)
}
