package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"hyperkube/cluster"
	"hyperkube/internal/trouble"
	"hyperkube/kubelet"
)

// kubeletFlags are those that need more than being stored, or that a
// KubeletConfiguration can say too.
type kubeletFlags struct {
	config                              string
	nodeIP, endpoint, imageEndpoint     string
	labels, systemReserved, kubReserved map[string]string
	taints                              []string
	registered                          []corev1.Taint // the configuration's
	register, seccomp, serialize        bool
	parallel                            int
	logSize                             string
	cert, key, clientCA                 string
	healthz                             string
	healthzPort                         int
	podLogs                             string
	tls                                 tlsVersion
	verbosity                           int
}

func kubeletCommand() *cobra.Command {
	var (
		v      kubeletFlags
		o      kubelet.Options
		client = cluster.Client{Agent: "kubelet"}
	)
	c, f := roleCommand("kubelet", "Run the kubelet, the agent that runs a node's pods", func(c *cobra.Command) error {
		o.Log = roleLog("kubelet", v.verbosity)
		if v.config != "" {
			if err := v.readConfig(c.Flags(), &o, &client); err != nil {
				return err
			}
		}
		if client.Kubeconfig == "" {
			return errors.New("--kubeconfig is missing: a kubelet without an API server is not supported; name the file that says where it is and which node this is")
		}
		if err := v.fill(&o); err != nil {
			return err
		}
		health := ""
		if v.healthzPort > 0 {
			health = net.JoinHostPort(v.healthz, strconv.Itoa(v.healthzPort))
		}
		return small(c.Context(), func(ctx context.Context) error { return cluster.RunKubelet(ctx, client, health, o) })
	})
	f.everyFlag(&v.verbosity)
	f.StringVar(&client.Kubeconfig, "kubeconfig", "", "file that says where the API server is and which node this is")
	f.Float32Var(&client.QPS, "kube-api-qps", 50, "writes to the API server a second")
	f.IntVar(&client.Burst, "kube-api-burst", 100, "writes to the API server at once")
	f.StringVar(&client.ContentType, "kube-api-content-type", "application/vnd.kubernetes.protobuf", "format of requests to the API server")
	v.node(f, &o)
	v.pods(f, &o)
	v.server(f, &o)
	v.others(f)
	return c
}

// node: what the node says of itself.
func (v *kubeletFlags) node(f standardFlags, o *kubelet.Options) {
	f.StringVar(&v.config, "config", "", "file with a KubeletConfiguration; flags go before it")
	f.StringVar(&o.NodeName, "hostname-override", "", "name of the node, when it is not the host's")
	f.StringVar(&v.nodeIP, "node-ip", "", "address of the node, or one of each family (default: that of the default route)")
	f.StringToStringVar(&v.labels, "node-labels", nil, "labels of the node")
	f.StringSliceVar(&v.taints, "register-with-taints", nil, "taints with which the node registers: key=value:effect")
	f.BoolVar(&v.register, "register-node", true, "make the Node object")
	f.StringVar(&o.ProviderID, "provider-id", "", "id of the machine at its cloud")
	f.Int64Var(&o.MaxPods, "max-pods", 110, "pods that the node takes")
	f.StringToStringVar(&v.systemReserved, "system-reserved", nil, "resources kept for the host, e.g. cpu=200m,memory=500Mi")
	f.StringToStringVar(&v.kubReserved, "kube-reserved", nil, "resources kept for the cluster's own daemons")
}

// pods: how they are run.
func (v *kubeletFlags) pods(f standardFlags, o *kubelet.Options) {
	f.StringVar(&v.endpoint, "container-runtime-endpoint", "unix:///run/containerd/containerd.sock", "CRI socket of the container runtime")
	f.StringVar(&v.imageEndpoint, "image-service-endpoint", "", "CRI socket for images, when it is another")
	f.StringVar(&o.RootDir, "root-dir", "/var/lib/kubelet", "where volumes and the like lie")
	f.StringVar(&v.podLogs, "pod-logs-dir", "/var/log/pods", "where containers' logs lie (podLogsDir of the configuration)")
	f.StringVar(&o.ManifestDir, "pod-manifest-path", "", "folder with manifests of static pods")
	f.DurationVar(&o.FileCheck, "file-check-frequency", 20*time.Second, "how often that folder is read besides when it changes")
	f.StringSliceVar(&o.ClusterDNS, "cluster-dns", nil, "addresses of the cluster's name server")
	f.StringVar(&o.Domain, "cluster-domain", "", "DNS domain of the cluster")
	f.StringVar(&o.ResolvConf, "resolv-conf", "/etc/resolv.conf", "the host's resolver configuration; empty for none")
	f.StringVar(&o.CgroupRoot, "cgroup-root", "", "cgroup below which pods are put (default: the top)")
	f.Int64Var(&o.PodPIDs, "pod-max-pids", -1, "processes that a pod may have; -1 for any number")
	f.StringVar(&v.logSize, "container-log-max-size", "10Mi", "size at which a container's log is rotated")
	f.IntVar(&o.ContainerLogMaxFile, "container-log-max-files", 5, "log files kept for a container")
	f.BoolVar(&v.serialize, "serialize-image-pulls", false, "pull one image at a time")
	f.IntVar(&v.parallel, "max-parallel-image-pulls", 5, "images pulled at a time")
	f.StringSliceVar(&o.UnsafeSysctls, "allowed-unsafe-sysctls", nil, "kernel parameters, or patterns that end in *, that pods may set beside the safe ones")
	f.BoolVar(&v.seccomp, "seccomp-default", true, "RuntimeDefault is the seccomp profile of pods that name none")
}

// server: the kubelet's own ports.
func (v *kubeletFlags) server(f standardFlags, o *kubelet.Options) {
	f.StringVar(&o.Address, "address", "0.0.0.0", "address of the kubelet's API")
	f.IntVar(&o.Port, "port", 10250, "port of the kubelet's API")
	f.StringVar(&v.cert, "tls-cert-file", "", "certificate of that API (default: one made at the start)")
	f.StringVar(&v.key, "tls-private-key-file", "", "key of that certificate")
	f.StringVar(&v.clientCA, "client-ca-file", "", "CA of the clients that show certificates, such as the API server")
	f.StringVar(&v.healthz, "healthz-bind-address", "127.0.0.1", "address of /healthz")
	f.IntVar(&v.healthzPort, "healthz-port", 10248, "port of /healthz; 0 for none")
}

// others are the flags that say what is so anyway, or what is not there.
func (v *kubeletFlags) others(f standardFlags) {
	f.only("the API server judges who may come in", "anonymous-auth", "false")
	f.only("the API server judges who may do what", "authorization-mode", "Webhook")
	f.only("the API server judges tokens", "authentication-token-webhook", "true")
	f.only("nothing is served without TLS", "read-only-port", "0")
	f.only("pods' cgroups are made through the file system", "cgroup-driver", "cgroupfs")
	f.only("pods' cgroups follow their quality of service", "cgroups-per-qos", "true")
	f.only("swap is neither used nor refused", "fail-swap-on", "false")
	f.Var(&v.tls, "tls-min-version", "least version of TLS: VersionTLS12 or VersionTLS13")
	f.noop("the runtime's own configuration says which image sandboxes use", "pod-infra-container-image")
	f.only("runtimes are reached through CRI", "container-runtime", "remote")
	f.refuse("certificates are not asked for or renewed yet: use --kubeconfig, --tls-cert-file and --tls-private-key-file", "bootstrap-kubeconfig", "rotate-certificates",
		"rotate-server-certificates", "cert-dir")
	f.refuse("Go's choice of ciphers for TLS 1.2 and later is used", "tls-cipher-suites", "tls-curve-preferences")
	f.refuse("the runtime calls CNI; its configuration names the folders", "network-plugin", "cni-bin-dir", "cni-conf-dir", "cni-cache-dir", "network-plugin-mtu", "pod-cidr",
		"non-masquerade-cidr")
	f.refuse("there is no cloud provider in here", "cloud-config")
	f.only("there is no cloud provider in here", "cloud-provider", "")
	f.refuse("eviction thresholds are fixed", "eviction-hard", "eviction-soft", "eviction-soft-grace-period", "eviction-minimum-reclaim", "eviction-max-pod-grace-period",
		"eviction-pressure-transition-period")
	f.refuse("unused images are kept", "image-gc-high-threshold", "image-gc-low-threshold", "minimum-image-ttl-duration", "maximum-dead-containers", "minimum-container-ttl-duration",
		"maximum-dead-containers-per-container")
	f.refuse("resources are not managed by devices' place yet", "cpu-manager-policy", "cpu-manager-policy-options", "cpu-manager-reconcile-period", "memory-manager-policy",
		"reserved-memory", "topology-manager-policy", "topology-manager-scope", "topology-manager-policy-options", "reserved-cpus", "qos-reserved")
	f.refuse("the cgroups of daemons are the service manager's business", "kubelet-cgroups", "runtime-cgroups", "system-cgroups", "system-reserved-cgroup", "kube-reserved-cgroup",
		"enforce-node-allocatable")
	f.refuse("manifests come from --pod-manifest-path", "manifest-url", "manifest-url-header", "http-check-frequency")
	f.refuse("it is fixed", "node-status-update-frequency", "node-status-max-images", "sync-frequency", "pods-per-core", "runtime-request-timeout", "volume-plugin-dir",
		"registry-qps", "registry-burst", "event-qps", "event-burst", "cpu-cfs-quota", "cpu-cfs-quota-period", "oom-score-adj", "max-open-files", "hairpin-mode",
		"streaming-connection-idle-timeout", "protect-kernel-defaults", "image-credential-provider-config", "image-credential-provider-bin-dir",
		"config-dir", "lock-file", "exit-on-lock-contention", "enable-server", "enable-controller-attach-detach", "node-config-dir", "memory-swap")
}

func (v *kubeletFlags) fill(o *kubelet.Options) (err error) {
	if o.NodeName, err = nodeName(o.NodeName, "--hostname-override"); err != nil {
		return err
	}
	for one := range strings.SplitSeq(v.nodeIP, ",") {
		if one == "" {
			continue
		}
		if ip := net.ParseIP(one); ip == nil || ip.IsUnspecified() {
			return fmt.Errorf("--node-ip %q: want an address of this node", one)
		}
		o.NodeIPs = append(o.NodeIPs, one)
	}
	for _, d := range o.ClusterDNS {
		if net.ParseIP(d) == nil {
			return fmt.Errorf("--cluster-dns %q: want addresses", d)
		}
	}
	if o.RuntimeEndpoint, err = socket("container-runtime-endpoint", v.endpoint); err != nil {
		return err
	}
	if v.imageEndpoint != "" {
		if o.ImageEndpoint, err = socket("image-service-endpoint", v.imageEndpoint); err != nil {
			return err
		}
	}
	if o.Port < 1 || o.Port > 65535 {
		return fmt.Errorf("--port %d: want a port between 1 and 65535", o.Port)
	}
	// A flag that is set to nothing means none, which is another word in the options.
	if o.ResolvConf == "" {
		o.ResolvConf = "none"
	}
	o.PodPIDs = max(o.PodPIDs, 0)
	o.LogDir, o.LogLinkDir = v.podLogs, filepath.Join(filepath.Dir(v.podLogs), "containers")
	o.Labels, o.NoRegister, o.SeccompUnconfined = v.labels, !v.register, !v.seccomp
	if o.ParallelPulls = v.parallel; v.serialize {
		o.ParallelPulls = 1
	}
	size, err := resource.ParseQuantity(v.logSize)
	if err != nil || size.Value() < 1 {
		return fmt.Errorf("--container-log-max-size %q: want a size like 10Mi", v.logSize)
	}
	o.ContainerLogMaxSize = size.Value()
	if err := v.fillReserved(o); err != nil {
		return err
	}
	if err := v.fillTaints(o); err != nil {
		return err
	}
	return v.fillTLS(o)
}

// maxSocket is how long the path of a unix socket may be.
const maxSocket = 107

func socket(flag, s string) (string, error) {
	path := strings.TrimPrefix(s, "unix://")
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("--%s %q: want a socket like unix:///run/containerd/containerd.sock", flag, s)
	}
	if len(path) > maxSocket {
		return "", fmt.Errorf("--%s: the path of the socket has %d bytes, %d are the most", flag, len(path), maxSocket)
	}
	return path, nil
}

// fillReserved adds up what host and daemons keep for themselves.
func (v *kubeletFlags) fillReserved(o *kubelet.Options) error {
	o.Reserved = corev1.ResourceList{}
	for flag, list := range map[string]map[string]string{"system-reserved": v.systemReserved, "kube-reserved": v.kubReserved} {
		for name, amount := range list {
			n := corev1.ResourceName(name)
			switch n {
			case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, "pid":
			default:
				return fmt.Errorf("--%s: %q is none of cpu, memory, ephemeral-storage, pid", flag, name)
			}
			q, err := resource.ParseQuantity(amount)
			if err != nil || q.Sign() < 0 {
				return fmt.Errorf("--%s: %s=%q is not an amount", flag, name, amount)
			}
			sum := o.Reserved[n]
			sum.Add(q)
			o.Reserved[n] = sum
		}
	}
	return nil
}

func (v *kubeletFlags) fillTaints(o *kubelet.Options) error {
	o.Taints = v.registered
	for _, s := range v.taints {
		kv, effect, ok := strings.Cut(s, ":")
		key, value, _ := strings.Cut(kv, "=")
		e := corev1.TaintEffect(effect)
		if !ok || key == "" || e != corev1.TaintEffectNoSchedule && e != corev1.TaintEffectPreferNoSchedule && e != corev1.TaintEffectNoExecute {
			return fmt.Errorf("--register-with-taints %q: want key=value:effect with NoSchedule, PreferNoSchedule or NoExecute", s)
		}
		o.Taints = append(o.Taints, corev1.Taint{Key: key, Value: value, Effect: e})
	}
	return nil
}

func (v *kubeletFlags) fillTLS(o *kubelet.Options) (err error) {
	if err := pairFlags("tls-cert-file", v.cert, "tls-private-key-file", v.key); err != nil {
		return err
	}
	if v.clientCA == "" {
		o.Log.Warn("without --client-ca-file nobody can show a certificate: an API server that uses one cannot reach logs, exec and port-forward")
	}
	p := cluster.Port{CertFile: v.cert, KeyFile: v.key, ClientCAFile: v.clientCA}
	cert, err := p.Certificate(o.Log)
	if err != nil {
		return err
	}
	o.Registry = cluster.ProcessRegistry()
	o.TLS, err = p.WithClients(&tls.Config{MinVersion: max(tls.VersionTLS12, uint16(v.tls)), GetCertificate: cert}, o.Log, trouble.Metric(o.Registry))
	return err
}
