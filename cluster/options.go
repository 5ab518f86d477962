package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"crypto/sha256"
	"encoding/hex"

	"k8s.io/apimachinery/pkg/util/validation"

	"hyperkube/internal/pki"
	"hyperkube/internal/regular"
)

// Options are what `hyperkube up` can be told. Fields that name things of the
// cluster (networks, names, ports) are fixed at the first start and kept in the
// data directory; a later start with other values is refused.
type Options struct {
	DataDir       string
	NodeName      string
	NodeIP        string // found from the default route when empty
	BindAddress   string
	APIPort       int
	KubeletPort   int
	ProxyPort     int // healthz of the proxy role
	MetricsPort   int // of all roles but API server and kubelet, on loopback
	PodCIDR       string
	ServiceCIDR   string
	ClusterDomain string
	Bridge        string
	NodePorts     string
	EtcdServers   []string // an external etcd instead of the embedded one
	Ephemeral     bool     // etcd lies in memory and is gone after a reboot
	ExtraSANs     []string
	LogLevel      string
	Version       string // what /version and nodes report

	// What is given up, when it is lost; see holdings.
	NewCA, NewServiceAccountKey, NewEncryptionKey, StartEmpty bool

	LockFD int    // the lock that the starter hands over; 0: this process takes it
	Kept   bool   // a keeper starts this process again when it dies
	Once   string // names the command that gives something up, "" without a keeper; see heed
}

// Default are the values that flags start from.
func Default() Options {
	name, err := os.Hostname()
	if err != nil {
		name = "" // refused by Settle, with the way on
	}
	return Options{
		DataDir: "/var/lib/hyperkube", NodeName: name, BindAddress: "0.0.0.0", APIPort: 6443, KubeletPort: 10250, ProxyPort: 10256, MetricsPort: 10257,
		PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/12", ClusterDomain: "cluster.local", Bridge: "cbr0", NodePorts: "30000-32767", LogLevel: "info",
	}
}

// ownPorts are those on which the cluster itself listens on every address: no pod and no
// service may take them over.
func (o *Options) ownPorts() []uint16 {
	var out []uint16
	for _, p := range []int{o.APIPort, o.KubeletPort, o.ProxyPort, o.MetricsPort} {
		if p > 0 && p <= math.MaxUint16 {
			out = append(out, uint16(p))
		}
	}
	return out
}

// Paths of a cluster, all below the data directory but for Run, which must not
// outlive a reboot.
type Paths struct {
	Data, PKI, Etcd, Containerd, Kubelet, PodLogs, CNIConf, CNIState, Libexec, Network string
	Run                                                                                string // sockets, containerd's tasks
	Netns                                                                              string // where containerd keeps the network namespaces of pods
	Lock, Identity, Log, Kubeconfig, Socket, Audit, EncryptionConfig                   string
	PID, Ready, Waiting                                                                string // of the process that runs
	ContainerdConfig                                                                   string
}

// PathsOf lays out the cluster in dataDir.
func PathsOf(dataDir string) Paths {
	j := func(p ...string) string { return filepath.Join(append([]string{dataDir}, p...)...) }
	run := filepath.Join("/run/hyperkube", shortID(dataDir))
	return Paths{
		Data: dataDir, PKI: j("pki"), Etcd: j("etcd"), Containerd: j("containerd"), Kubelet: j("kubelet"), PodLogs: j("log", "pods"),
		CNIConf: j("cni", "net.d"), CNIState: j("cni", "state"), Libexec: j("libexec"), Network: j("network"), Run: run, Netns: filepath.Join(run, "containerd", "io.containerd.grpc.v1.cri", "netns"),
		Lock: j("lock"), Identity: j("cluster.json"), Log: j("log", "hyperkube.log"), PID: filepath.Join(run, "hyperkube.pid"), Ready: filepath.Join(run, "ready"), Waiting: filepath.Join(run, "waiting"),
		Kubeconfig: j("admin.conf"), Socket: filepath.Join(run, "containerd.sock"), Audit: j("log", "audit.log"),
		EncryptionConfig: j("pki", "encryption.yaml"), ContainerdConfig: j("containerd", "config.toml"),
	}
}

// shortID tells the things of one data directory on a host from another's.
func shortID(dataDir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(dataDir)))
	return hex.EncodeToString(sum[:])[:8]
}

// CgroupRoot is the cgroup below which the cluster's pods live, and Table its
// nftables table. Both carry the data directory's id.
func (p Paths) CgroupRoot() string { return "/hyperkube-" + shortID(p.Data) }

// PodCgroups is the cgroup that all pods are below.
func (p Paths) PodCgroups() string { return p.CgroupRoot() + "/kubepods" }
func (p Paths) Table() string      { return "hyperkube-" + shortID(p.Data) }

// ProxyTable is the nftables table of the service proxy.
func (p Paths) ProxyTable() string { return p.Table() + "-proxy" }

// Identity is what a data directory remembers of its cluster.
type Identity struct {
	Created       time.Time `json:"created"`
	NodeName      string    `json:"nodeName"`
	NodeIP        string    `json:"nodeIP"`
	APIPort       int       `json:"apiPort"`
	KubeletPort   int       `json:"kubeletPort"`
	ProxyPort     int       `json:"proxyPort"`
	MetricsPort   int       `json:"metricsPort"`
	PodCIDR       string    `json:"podCIDR"`
	ServiceCIDR   string    `json:"serviceCIDR"`
	ClusterDomain string    `json:"clusterDomain"`
	Bridge        string    `json:"bridge"`
	NodePorts     string    `json:"nodePorts"`
	Ephemeral     bool      `json:"ephemeral,omitempty"`
	EtcdServers   []string  `json:"etcdServers,omitempty"`

	// Layout is 0 for versions that did not note what they had made.
	Layout   int  `json:"layout,omitempty"`
	KeysMade bool `json:"keysMade,omitempty"` // all key material was made and noted
	DataMade bool `json:"dataMade,omitempty"` // the embedded etcd has served
	// Spent is the Options.Once that has given up what it was to.
	Spent string `json:"spent,omitempty"`
}

// layoutVersion is the Layout that is written.
const layoutVersion = 1

// ReadIdentity returns os.ErrNotExist (wrapped) when dataDir holds no cluster.
func ReadIdentity(dataDir string) (*Identity, error) {
	path := PathsOf(dataDir).Identity
	b, err := regular.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's identity: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it from a backup, or move it away (`hyperkube up` then asks for the flags that the cluster was made with); `hyperkube reset --data-dir %s` gives the cluster up", path, err, dataDir)
	}
	return &id, nil
}

func (o Options) identity() Identity {
	return Identity{
		Created: time.Now().UTC().Truncate(time.Second), NodeName: o.NodeName, NodeIP: o.NodeIP, APIPort: o.APIPort, KubeletPort: o.KubeletPort,
		ProxyPort: o.ProxyPort, MetricsPort: o.MetricsPort, PodCIDR: o.PodCIDR, ServiceCIDR: o.ServiceCIDR, ClusterDomain: o.ClusterDomain,
		Bridge: o.Bridge, NodePorts: o.NodePorts, Ephemeral: o.Ephemeral, EtcdServers: o.EtcdServers, Layout: layoutVersion,
	}
}

// Recall fills in what the user did not say (given tells which flags were) from
// the cluster that the data directory holds, so that `up` after `down` needs no
// flags. A directory without a cluster changes nothing.
func (o *Options) Recall(given func(flag string) bool) (err error) {
	if o.DataDir, err = ResolveDataDir(o.DataDir); err != nil {
		return err
	}
	have, err := ReadIdentity(o.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return o.forgotten(given)
	}
	if err != nil {
		return err
	}
	text := func(flag string, to *string, v string) {
		if !given(flag) && v != "" {
			*to = v
		}
	}
	number := func(flag string, to *int, v int) {
		if !given(flag) && v != 0 {
			*to = v
		}
	}
	text("node-name", &o.NodeName, have.NodeName)
	text("pod-cidr", &o.PodCIDR, have.PodCIDR)
	text("service-cidr", &o.ServiceCIDR, have.ServiceCIDR)
	text("cluster-domain", &o.ClusterDomain, have.ClusterDomain)
	text("bridge", &o.Bridge, have.Bridge)
	text("node-ports", &o.NodePorts, have.NodePorts)
	number("port", &o.APIPort, have.APIPort)
	number("kubelet-port", &o.KubeletPort, have.KubeletPort)
	number("proxy-port", &o.ProxyPort, have.ProxyPort)
	number("metrics-port", &o.MetricsPort, have.MetricsPort)
	if !given("ephemeral") {
		o.Ephemeral = have.Ephemeral
	}
	if !given("etcd-servers") {
		o.EtcdServers = have.EtcdServers
	}
	return nil
}

// forgotten refuses to guess with what a cluster was made whose cluster.json is lost: by
// defaults its node would get another name, its services another network. A start that was
// killed before it wrote the file has made no key yet either.
func (o *Options) forgotten(given func(flag string) bool) error {
	p := PathsOf(o.DataDir)
	if !etcdHolds(p.Etcd) && !present(filepath.Join(p.PKI, pki.NameCA+".crt")) {
		return nil
	}
	var missing []string
	for _, flag := range []string{"node-name", "pod-cidr", "service-cidr", "cluster-domain", "bridge"} {
		if !given(flag) {
			missing = append(missing, "--"+flag)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s, which remembers with what the cluster in %s was made, is lost: restore it from a backup, or say %s as they were then (besides all other flags it was started with; defaults too)",
		p.Identity, o.DataDir, strings.Join(missing, ", "))
}

// agrees compares with the cluster that the data directory holds.
func (o Options) agrees(have *Identity) error {
	want := o.identity()
	for _, f := range []struct{ flag, have, want string }{
		{"--node-name", have.NodeName, want.NodeName}, {"--pod-cidr", have.PodCIDR, want.PodCIDR},
		{"--service-cidr", have.ServiceCIDR, want.ServiceCIDR}, {"--cluster-domain", have.ClusterDomain, want.ClusterDomain},
		{"--bridge", have.Bridge, want.Bridge},
	} {
		if f.have != f.want {
			return fmt.Errorf("%s holds a cluster with %s=%s, not %s: use another --data-dir, drop the flag, or remove that cluster with `hyperkube reset --data-dir %s`",
				o.DataDir, f.flag, f.have, f.want, o.DataDir)
		}
	}
	return nil
}

// write notes what the data directory is to remember.
func (id Identity) write(dataDir string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the cluster's identity: %w", err)
	}
	if err := pki.WriteFile(PathsOf(dataDir).Identity, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the cluster's identity: %w", err)
	}
	return nil
}

// check refuses to start in a data directory that is somebody else's or another
// cluster's. It makes nothing.
func (o Options) check() error {
	if ours, err := checkOurs(o.DataDir); err != nil || !ours {
		return err
	}
	have, err := ReadIdentity(o.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.agrees(have)
}

// Settle makes the options what the cluster will run with, and refuses what cannot be,
// before anything is made.
func (o *Options) Settle() (err error) {
	if o.DataDir, err = ResolveDataDir(o.DataDir); err != nil {
		return err
	}
	if o.NodeName, err = NodeName(o.NodeName, "--node-name"); err != nil {
		return err
	}
	return o.validate()
}

// validate checks what can be checked without touching the host.
func (o Options) validate() error {
	pods, err := netip.ParsePrefix(o.PodCIDR)
	if err != nil {
		return fmt.Errorf("--pod-cidr: %w", err)
	}
	services, err := netip.ParsePrefix(o.ServiceCIDR)
	if err != nil {
		return fmt.Errorf("--service-cidr: %w", err)
	}
	if pods.Overlaps(services) {
		return fmt.Errorf("--pod-cidr %s and --service-cidr %s overlap: choose separate networks", pods, services)
	}
	if !pods.Addr().Is4() || !services.Addr().Is4() {
		return errors.New("--pod-cidr and --service-cidr must be IPv4: other families are not supported yet")
	}
	if pods.Bits() > 24 {
		return fmt.Errorf("--pod-cidr %s is smaller than the /24 that one node gets", pods)
	}
	if services.Bits() > 28 {
		return fmt.Errorf("--service-cidr %s is too small: DNS takes its tenth address", services)
	}
	if errs := validation.IsDNS1123Subdomain(o.ClusterDomain); len(errs) > 0 {
		return fmt.Errorf("--cluster-domain %q: %s", o.ClusterDomain, errs[0])
	}
	if o.Bridge == "" || len(o.Bridge) > maxLinkName || strings.ContainsAny(o.Bridge, "/: \t\n") || o.Bridge == "." || o.Bridge == ".." {
		return fmt.Errorf("--bridge %q: want the name of an interface, at most %d characters without spaces, slashes and colons", o.Bridge, maxLinkName)
	}
	if o.NodeIP != "" {
		if ip, err := netip.ParseAddr(o.NodeIP); err != nil || !ip.Is4() || ip.IsUnspecified() {
			return fmt.Errorf("--node-ip %q: want an IPv4 address of this machine", o.NodeIP)
		}
	}
	if net.ParseIP(o.BindAddress) == nil {
		return fmt.Errorf("--bind-address %q is not an address", o.BindAddress)
	}
	if _, err := parsePorts(o.NodePorts); err != nil {
		return err
	}
	return o.validatePorts()
}

const maxLinkName = 15 // of the kernel

// validatePorts wants real ports, each for one server.
func (o Options) validatePorts() error {
	used := map[int]string{}
	for _, p := range []struct {
		flag string
		port int
	}{{"--port", o.APIPort}, {"--kubelet-port", o.KubeletPort}, {"--proxy-port", o.ProxyPort}, {"--metrics-port", o.MetricsPort}} {
		if p.port < 1 || p.port > 65535 {
			return fmt.Errorf("%s %d: want a port between 1 and 65535", p.flag, p.port)
		}
		if other, ok := used[p.port]; ok {
			return fmt.Errorf("%s and %s are both %d: each server needs a port of its own", other, p.flag, p.port)
		}
		used[p.port] = p.flag
	}
	return nil
}

// ServiceIP is the n-th address of the service network: 1 is the API server's, 10 DNS's.
func ServiceIP(cidr string, n int) (string, error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return "", fmt.Errorf("service network: %w", err)
	}
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a.String(), nil
}
