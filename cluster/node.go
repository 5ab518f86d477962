package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/internal/pki"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
	"hyperkube/kubelet"
	"hyperkube/network"
	"hyperkube/network/rules"
	"hyperkube/proxy"
	"hyperkube/runtime"
	"hyperkube/runtime/images"
)

// node is the part of the cluster that runs pods: containerd, the product's own
// images, kubelet, network and proxy.
type node struct {
	c       *control
	runtime *runtime.Runtime
	images  chan error    // one value when the images are there, or why they are not
	here    chan struct{} // closed when they are there
}

func newNode(c *control) *node {
	return &node{c: c, images: make(chan error, 1), here: make(chan struct{})}
}

// Names of the images that are made from the binary. They can be pulled from nowhere.
const (
	PauseImage     = "hyperkube.local/pause:v1"
	HyperkubeImage = "hyperkube.local/hyperkube:v1"
)

// startRuntime starts containerd and, once it answers, the import of the images,
// which goes on in the background.
func (n *node) startRuntime(ctx context.Context) error {
	c := n.c
	return c.progress.timed("containerd", func() error {
		if err := os.MkdirAll(c.p.Containerd, 0o711); err != nil {
			return fmt.Errorf("making containerd's directory: %w", err)
		}
		// A pod's root that is nobody on the host must reach its own file system below.
		if err := errors.Join(os.Chmod(filepath.Dir(c.p.Run), 0o711), os.Chmod(c.p.Run, 0o711)); err != nil {
			return fmt.Errorf("letting pods with users of their own through: %w", err)
		}
		var err error
		n.runtime, err = runtime.New(runtime.Options{
			Config: runtime.Config{
				Root: filepath.Join(c.p.Containerd, "root"), State: filepath.Join(c.p.Run, "containerd"), Socket: c.p.Socket,
				CNIConfDir: c.p.CNIConf, PauseImage: PauseImage, RegistryConfigDir: filepath.Join(c.p.Containerd, "certs.d"),
			},
			ConfigPath: c.p.ContainerdConfig, LibexecDir: c.p.Libexec,
			PIDFile: filepath.Join(c.p.Run, "containerd.pid"), LogFile: filepath.Join(c.p.Data, "log", "containerd.log"),
			PodCgroups: c.p.PodCgroups(), PodLogs: c.p.PodLogs,
			Command: []string{"/proc/self/exe", "containerd"}, Env: []string{"GOGC=50"},
			Logger: c.log.With("role", "containerd"), Tell: func(text string) { fmt.Println("  " + text) },
		})
		if err != nil {
			return err
		}
		if err := n.keepRuntime(ctx); err != nil {
			return err
		}
		c.roles.Go("own images", func() {
			err := supervise.Contain("own images", func() error {
				return c.progress.timed("own images", func() error { return n.importImages(ctx) })
			})
			if err == nil {
				close(n.here)
			}
			n.images <- err
		})
		return nil
	})
}

// keepRuntime runs containerd and returns when it first answers, or with why it does not.
// Once it has answered it is started again whenever it ends.
func (n *node) keepRuntime(ctx context.Context) error {
	failed := make(chan error, 1)
	n.c.roles.Start(ctx, supervise.Role{Name: "containerd", Build: func() (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			err := supervise.Contain("containerd", func() error { return n.runtime.Run(ctx) })
			select {
			case failed <- err:
			default:
			}
			return err
		}, nil
	}})
	select {
	case <-n.runtime.Ready():
		return nil
	case err := <-failed:
		return errors.Join(errors.New("containerd ended"), err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *node) importImages(ctx context.Context) error {
	s, err := images.Open(n.c.p.Socket)
	if err != nil {
		return err
	}
	defer s.Close()
	own := images.Own{PauseRef: PauseImage, HyperkubeRef: HyperkubeImage, Binary: "/proc/self/exe", Scratch: n.c.p.Containerd}
	if err := own.Ensure(ctx, s); err != nil {
		return err
	}
	if shared, err := own.Share(ctx, s); err != nil {
		return err
	} else if !shared {
		n.c.log.Info("the hyperkube image keeps a copy of the program: its pods share no memory with this process")
	}
	return nil
}

// start starts what needs both containerd and the API server, and deploys DNS.
func (n *node) start(ctx context.Context) error {
	c := n.c
	before := n.heartbeat(ctx)
	user := &request.User{Name: request.NodeUserPrefix + c.o.NodeName, Groups: []string{request.GroupNodes, request.GroupAuthenticated}}
	c.roles.Start(ctx, supervise.Role{Name: "kubelet", Build: func() (func(context.Context) error, error) { return n.buildKubelet(user) }})
	c.roles.Start(ctx, supervise.Role{Name: "network", Build: n.buildNetwork})
	c.roles.Start(ctx, supervise.Role{Name: "proxy", Build: n.buildProxy})
	if err := c.progress.timed("node ready", func() error { return n.awaitReady(ctx, before) }); err != nil {
		return err
	}
	if err := c.either(ctx, n.images); err != nil {
		return err
	}
	// From here on the cluster is of use, and its process is worth starting again.
	if err := c.spend(); err != nil {
		return err
	}
	if err := c.o.serves(c.p); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, servingLine)
	return c.progress.timed("DNS answers", func() error { return n.startDNS(ctx) })
}

func (n *node) buildKubelet(user *request.User) (func(context.Context) error, error) {
	c := n.c
	kube, err := c.client(user)
	if err != nil {
		return nil, err
	}
	dns, err := ServiceIP(c.o.ServiceCIDR, 10)
	if err != nil {
		return nil, err
	}
	l, name := c.pki.Layout, pki.KubeletName(c.o.NodeName)
	pair, err := pki.NewFilePair("the kubelet's serving certificate", l.Cert(name), l.Key(name), c.log)
	if err != nil {
		return nil, err
	}
	profile := filepath.Join(c.p.Kubelet, "seccomp", "sandbox.json")
	if err := runtime.WritePauseProfile(profile); err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	informers := kit.NewInformers(c.api.Server.Source(user), c.log, kit.Failures(trouble.Metric(reg)))
	k, err := kubelet.New(kubelet.Options{
		NodeName: c.o.NodeName, Kube: kube, Informers: informers,
		ImagesHere: n.here, RuntimeEndpoint: c.p.Socket, RootDir: c.p.Kubelet, LogDir: c.p.PodLogs, CgroupRoot: c.p.CgroupRoot(), SandboxSeccomp: profile,
		LogLinkDir: filepath.Join(filepath.Dir(c.p.PodLogs), "containers"),
		PodPIDs:    bounds.PodProcesses, ClusterDNS: []string{dns}, Domain: c.o.ClusterDomain, NodeIPs: []string{c.o.NodeIP}, Port: c.o.KubeletPort,
		TLS:      &tls.Config{GetCertificate: pair.Server, ClientCAs: c.pki.CA.Pool(), ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS13},
		Registry: reg, Log: c.log.With("role", "kubelet"),
	})
	if err != nil {
		return nil, err
	}
	return supervise.Together(supervise.Part{Name: "informers", Run: informers.Run}, supervise.Part{Name: "kubelet", Run: k.Run}), nil
}

func (n *node) networkOptions() (network.Options, error) {
	c := n.c
	pods, err := netip.ParsePrefix(c.o.PodCIDR)
	if err != nil {
		return network.Options{}, fmt.Errorf("--pod-cidr: %w", err)
	}
	services, err := netip.ParsePrefix(c.o.ServiceCIDR)
	if err != nil {
		return network.Options{}, fmt.Errorf("--service-cidr: %w", err)
	}
	var reserved []rules.HostPort
	for _, port := range c.o.ownPorts() {
		reserved = append(reserved, rules.HostPort{Protocol: string(corev1.ProtocolTCP), Port: port})
	}
	return network.Options{
		Informers: c.shared, NodeName: c.o.NodeName, ClusterCIDRs: []netip.Prefix{pods}, Bridge: c.o.Bridge,
		ConfDir: c.p.CNIConf, StateDir: c.p.CNIState, Table: c.p.Table(), Sandboxes: n.sandboxes, Log: c.log.With("role", "network"),
		NetnsDir: c.p.Netns, ServiceCIDRs: []netip.Prefix{services}, ReservedPorts: reserved, Metrics: c.registries.fresh("network"),
	}, nil
}

func (n *node) sandboxes(ctx context.Context) (map[string]bool, error) {
	return sandboxesOf(ctx, n.c.p.Socket)
}

// sandboxesOf asks a runtime which pod sandboxes it knows.
func sandboxesOf(ctx context.Context, socket string) (map[string]bool, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(bounds.RuntimeMessage)))
	if err != nil {
		return nil, fmt.Errorf("connecting to the container runtime: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	list, err := runtimeapi.NewRuntimeServiceClient(conn).ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing pod sandboxes: %w", err)
	}
	known := map[string]bool{}
	for _, s := range list.Items {
		known[s.Id] = true
	}
	return known, nil
}

func (n *node) buildNetwork() (func(context.Context) error, error) {
	o, err := n.networkOptions()
	if err != nil {
		return nil, err
	}
	return scoped(n.c.shared, func(mine *kit.Informers) (func(context.Context) error, error) {
		o.Informers = mine
		w, err := network.New(o)
		if err != nil {
			return nil, err
		}
		return w.Run, nil
	})
}

func (n *node) buildProxy() (func(context.Context) error, error) {
	c := n.c
	pods, err := netip.ParsePrefix(c.o.PodCIDR)
	if err != nil {
		return nil, fmt.Errorf("--pod-cidr: %w", err)
	}
	var reserved []proxy.HostPort
	for _, port := range c.o.ownPorts() {
		reserved = append(reserved, proxy.HostPort{Protocol: corev1.ProtocolTCP, Port: port})
	}
	return scoped(c.shared, func(mine *kit.Informers) (func(context.Context) error, error) {
		px, err := proxy.New(proxy.Options{
			Informers: mine, NodeName: c.o.NodeName, ClusterCIDRs: []netip.Prefix{pods}, Table: c.p.ProxyTable(), ReservedPorts: reserved,
			HealthzAddress: net.JoinHostPort("0.0.0.0", strconv.Itoa(c.o.ProxyPort)), MetricsAddress: "-", Metrics: c.registries.fresh("proxy"), Log: c.log.With("role", "proxy"),
		})
		if err != nil {
			return nil, err
		}
		return px.Run, nil
	})
}

// heartbeat is when the node reported last; zero when it never did, or that cannot be read.
func (n *node) heartbeat(ctx context.Context) time.Time {
	ctx, cancel := context.WithTimeout(ctx, whyTimeout)
	defer cancel()
	kube, err := n.c.client(upUser())
	if err != nil {
		return time.Time{}
	}
	node, err := kube.CoreV1().Nodes().Get(ctx, n.c.o.NodeName, metav1.GetOptions{})
	if err != nil {
		return time.Time{}
	}
	return heartbeatOf(node)
}

// awaitReady waits for the node's Ready condition, from the kubelet of this start: what an
// earlier one reported stands there still, also when this one cannot run. before is when
// that was.
func (n *node) awaitReady(ctx context.Context, before time.Time) error {
	began := time.Now().Truncate(time.Second) // as fine as a heartbeat is
	done := n.tellWaits(ctx, func(ctx context.Context) string { return n.whyNotReady(ctx, before, began) })
	defer done()
	mine := n.c.shared.Scope()
	defer mine.Close()
	nodes := kit.InformerFor[*corev1.Node](mine, corev1.SchemeGroupVersion.WithResource("nodes"))
	return await(ctx, nodes, func(x *corev1.Node) bool {
		ready, _ := conditionOf(x)
		return x.Name == n.c.o.NodeName && ready && reported(x, before, began)
	})
}

func heartbeatOf(x *corev1.Node) time.Time {
	for _, c := range x.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.LastHeartbeatTime.Time
		}
	}
	return time.Time{}
}

// reported says whether a node has reported since began. A clock that was set meanwhile
// deceives only one of the two ways to know.
func reported(x *corev1.Node, before, began time.Time) bool {
	at := heartbeatOf(x)
	return !at.IsZero() && (!at.Equal(before) || !at.Before(began))
}

// await returns when an object that ok accepts is there.
func await[T kit.Object](ctx context.Context, i *kit.Informer[T], ok func(T) bool) error {
	found := make(chan struct{})
	var once sync.Once
	look := func(x T) {
		if ok(x) {
			once.Do(func() { close(found) })
		}
	}
	i.OnChange(kit.Any(look))
	select {
	case <-found:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
