package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"hyperkube/kit"
	"hyperkube/kubelet/admit"
	"hyperkube/kubelet/server"
)

// Version is the version of Kubernetes whose kubelet this is.
const Version = "v1.37.2"

// Options configures a kubelet. Zero values mean the defaults named beside them.
type Options struct {
	NodeName string // the host's name
	Kube     kubernetes.Interface
	// Informers is run by the caller. Only this node's pods, the node itself and services are read through it;
	// config maps and secrets are watched one by one through its Source.
	Informers *kit.Informers
	Recorder  kit.Recorder // made (and run) from Kube when nil

	// ImagesHere is closed once images are on the node that are imported at its start and can be pulled from nowhere;
	// sandboxes and pulls wait for it. Nil where nothing is imported.
	ImagesHere <-chan struct{}

	RuntimeEndpoint string // CRI v1 socket; required
	ImageEndpoint   string // RuntimeEndpoint

	RootDir     string // /var/lib/kubelet
	LogDir      string // /var/log/pods
	LogLinkDir  string // flat links to container logs (/var/log/containers); none
	CgroupFS    string // /sys/fs/cgroup
	CgroupRoot  string // /
	NoCgroups   bool   // leave control groups to the runtime
	PodPIDs     int64  // limit of processes and threads for each pod; -1 for none
	Reserved    v1.ResourceList
	MaxPods     int64  // 110
	ResolvConf  string // /etc/resolv.conf; "none" for an empty one
	ClusterDNS  []string
	Domain      string // cluster.local
	NodeIPs     []string
	ProviderID  string
	Labels      map[string]string
	Taints      []v1.Taint
	NoRegister  bool
	ManifestDir string // of static pods; none
	FileCheck   time.Duration
	// UnsafeSysctls are the kernel parameters, or patterns that end in *, that pods may set beside the safe ones.
	UnsafeSysctls []string
	// Listeners are the ports on which the host's own processes listen, which pods cannot have; by a look at the
	// host when nil.
	Listeners func() ([]admit.Port, error)
	// SandboxNetworkOK tells whether a sandbox that stands still has its network; by a look into its namespace when nil.
	SandboxNetworkOK func(ctx context.Context, sandbox string) (bool, error)

	SandboxSeccomp      string // file of a profile for the sandbox image's process; the runtime's default
	SeccompUnconfined   bool   // default profile: RuntimeDefault unless set
	ContainerLogMaxSize int64  // 10 MiB
	ContainerLogMaxFile int    // 5
	ParallelPulls       int    // 5

	Address string // 0.0.0.0
	Port    int    // 10250; negative for no server
	TLS     *tls.Config
	Auth    server.Auth // by Kube's review APIs when zero

	Log      *slog.Logger
	Registry *prometheus.Registry
}

func (o *Options) complete() error {
	if o.Kube == nil || o.Informers == nil {
		return errors.New("kubelet: Kube and Informers are required")
	}
	if o.RuntimeEndpoint == "" {
		return errors.New("kubelet: RuntimeEndpoint is required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.NodeName == "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		o.NodeName = host
	}
	o.NodeName = strings.ToLower(strings.TrimSpace(o.NodeName))
	if err := checkNodeName(o.NodeName); err != nil {
		return err
	}
	if o.PodPIDs < -1 {
		return fmt.Errorf("kubelet: PodPIDs is %d: want a number of processes, or -1 for any", o.PodPIDs)
	}
	if o.Listeners == nil {
		o.Listeners = func() ([]admit.Port, error) { return hostListeners("/proc") }
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	text(&o.RootDir, "/var/lib/kubelet")
	text(&o.LogDir, "/var/log/pods")
	text(&o.CgroupFS, "/sys/fs/cgroup")
	text(&o.CgroupRoot, "/")
	text(&o.ResolvConf, "/etc/resolv.conf")
	text(&o.Domain, "cluster.local")
	text(&o.Address, "0.0.0.0")
	number(&o.MaxPods, 110)
	number(&o.PodPIDs, -1)
	number(&o.ContainerLogMaxSize, 10<<20)
	number(&o.ContainerLogMaxFile, 5)
	number(&o.ParallelPulls, 5)
	number(&o.Port, 10250)
	number(&o.FileCheck, 20*time.Second)
	for _, p := range []*string{&o.RootDir, &o.LogDir} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	if o.ResolvConf == "none" {
		o.ResolvConf = ""
	}
	return nil
}

// checkNodeName refuses a name under which the node could never register: it is an object's name and a label's value.
func checkNodeName(name string) error {
	problems := validation.IsDNS1123Subdomain(name)
	if len(problems) == 0 {
		problems = validation.IsValidLabelValue(name) // of kubernetes.io/hostname
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("kubelet: %q cannot be the name of a node: %s (name it with --hostname-override, or rename the host)", name, strings.Join(problems, "; "))
}

func text(p *string, d string) {
	if *p == "" {
		*p = d
	}
}

func number[T int | int64 | time.Duration](p *T, d T) {
	if *p == 0 {
		*p = d
	}
}

// configz is what the /configz endpoint shows, in the words of the standard configuration file.
func (k *Kubelet) configz() any {
	return map[string]any{
		"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "address": k.o.Address, "port": k.o.Port,
		"clusterDomain": k.o.Domain, "clusterDNS": k.o.ClusterDNS, "maxPods": k.o.MaxPods, "cgroupDriver": "cgroupfs", "cgroupRoot": k.o.CgroupRoot,
		"resolvConf": k.o.ResolvConf, "staticPodPath": k.o.ManifestDir, "podPidsLimit": k.o.PodPIDs, "seccompDefault": !k.o.SeccompUnconfined,
		"allowedUnsafeSysctls": k.o.UnsafeSysctls, "containerLogMaxSize": k.o.ContainerLogMaxSize, "containerLogMaxFiles": k.o.ContainerLogMaxFile, "podLogsDir": k.o.LogDir,
		"containerRuntimeEndpoint": k.o.RuntimeEndpoint, "systemReserved": k.o.Reserved, "registerNode": !k.o.NoRegister,
	}
}
