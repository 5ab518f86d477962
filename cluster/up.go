package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"

	"hyperkube/apiserver"
	"hyperkube/apiserver/allocate"
	"hyperkube/apiserver/assembly"
	"hyperkube/apiserver/authn"
	"hyperkube/apiserver/request"
	"hyperkube/internal/pki"
	"hyperkube/internal/resident"
	"hyperkube/internal/supervise"
	"hyperkube/kit"
	"hyperkube/store/etcd"
	"hyperkube/store/seal"
)

// Up runs the cluster until ctx ends. It is blocking: Daemon puts it into a
// process of its own. progress is told of each stage; ErrRunning means that
// another process runs the cluster of this data directory.
func Up(ctx context.Context, o Options, log *slog.Logger, progress Progress) error {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	p := PathsOf(o.DataDir)
	l, err := lock(p.Lock)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := o.Preflight(); err != nil {
		return err
	}
	if err := o.claim(); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(p.Run, 0o700), os.WriteFile(p.PID, []byte(strconv.Itoa(os.Getpid())), 0o600)); err != nil {
		return fmt.Errorf("making %s: %w", p.Run, err)
	}
	defer os.Remove(p.PID)
	c := &control{o: o, p: p, log: log, progress: progress, roles: supervise.New(supervise.Options{Log: log})}
	return c.run(ctx)
}

// control is a cluster while it runs.
type control struct {
	o        Options
	p        Paths
	log      *slog.Logger
	progress Progress
	roles    *supervise.Group

	pki        *pki.Files
	registries *registries // served at MetricsPort
	api        *assembly.Assembly
	shared     *kit.Informers // of the control plane's roles
	stop       context.CancelFunc
}

// run starts the stages in order; parts that do not need each other overlap.
func (c *control) run(ctx context.Context) (err error) {
	ctx, c.stop = context.WithCancel(ctx)
	defer func() {
		c.stop()
		c.roles.Wait()
	}()
	c.registries = newRegistries()
	if err := c.progress.timed("keys and certificates", c.makeKeys); err != nil {
		return err
	}
	node := newNode(c)
	nodeStarted := make(chan error, 1)
	go func() { nodeStarted <- node.startRuntime(ctx) }()
	apiEnded, err := c.startAPI(ctx)
	if err != nil {
		c.stop()
		<-nodeStarted
		return err
	}
	c.roles.Start(ctx, supervise.Role{Name: "metrics", Build: c.buildMetrics})
	c.startControl(ctx)
	if err := <-nodeStarted; err != nil {
		return err
	}
	if err := node.start(ctx); err != nil {
		return err
	}
	c.roles.Go("memory keeper", func() { resident.Keep(ctx, resident.Options{Forget: c.api.Store.Forget, Log: c.log}) })
	fmt.Fprintln(os.Stdout, readyLine)
	select {
	case <-ctx.Done():
		return nil
	case err := <-apiEnded:
		return fmt.Errorf("API server ended: %w", err)
	}
}

func (c *control) makeKeys() error {
	ip := net.ParseIP(c.o.NodeIP)
	if ip == nil {
		return fmt.Errorf("--node-ip %q is not an address", c.o.NodeIP)
	}
	serviceIP, err := ServiceIP(c.o.ServiceCIDR, 1)
	if err != nil {
		return err
	}
	ips, names := []net.IP{ip}, []string{c.o.NodeName}
	for _, san := range c.o.ExtraSANs {
		if a := net.ParseIP(san); a != nil {
			ips = append(ips, a)
		} else {
			names = append(names, san)
		}
	}
	c.pki, err = pki.Ensure(pki.Options{
		Layout: pki.NewLayout(c.o.DataDir), Server: c.serverURL(), Names: names, IPs: ips, ServiceIP: net.ParseIP(serviceIP),
		ClusterDomain: c.o.ClusterDomain, Now: time.Now(),
		Nodes: []pki.Node{{Name: c.o.NodeName, IPs: []net.IP{ip, net.IPv4(127, 0, 0, 1)}}},
	})
	return err
}

func (c *control) serverURL() string {
	return "https://" + net.JoinHostPort(c.o.NodeIP, strconv.Itoa(c.o.APIPort))
}

// startAPI starts etcd and the API server and returns when it is ready; the
// channel tells when it ends.
func (c *control) startAPI(ctx context.Context) (<-chan error, error) {
	var member *etcd.Server
	if len(c.o.EtcdServers) == 0 {
		err := c.progress.timed("etcd", func() (err error) {
			if c.o.Ephemeral {
				if err := mountMemory(c.p.Etcd); err != nil {
					return err
				}
			}
			member, err = etcd.Start(ctx, etcd.Config{
				Dir: c.p.Etcd, Cluster: c.pki.CA.Cert.SerialNumber.String(), Ephemeral: c.o.Ephemeral, Log: c.log.With("role", "etcd"),
			})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	ended := make(chan error, 1)
	err := c.progress.timed("API server", func() error {
		options, err := c.apiOptions(member)
		if err != nil {
			return err
		}
		if c.api, err = assembly.New(ctx, options); err != nil {
			return err
		}
		c.roles.Go("API server", func() {
			err := c.api.Run(ctx)
			if member != nil {
				member.Stop()
			}
			ended <- err
		})
		select {
		case <-c.api.Ready():
			return nil
		case err := <-ended:
			ended <- err
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return ended, err
}

func (c *control) apiOptions(member *etcd.Server) (assembly.Options, error) {
	keys, err := seal.LoadOrCreate(c.p.EncryptionConfig, "secrets")
	if err != nil {
		return assembly.Options{}, err
	}
	services, err := netip.ParsePrefix(c.o.ServiceCIDR)
	if err != nil {
		return assembly.Options{}, fmt.Errorf("--service-cidr: %w", err)
	}
	ports, err := parsePorts(c.o.NodePorts)
	if err != nil {
		return assembly.Options{}, err
	}
	ip, err := netip.ParseAddr(c.o.NodeIP)
	if err != nil {
		return assembly.Options{}, fmt.Errorf("--node-ip: %w", err)
	}
	kubelet, err := tls.X509KeyPair(c.pki.KubeletClient.CertPEM, c.pki.KubeletClient.KeyPEM)
	if err != nil {
		return assembly.Options{}, fmt.Errorf("the certificate shown to kubelets: %w", err)
	}
	l := c.pki.Layout
	welcome := x509.NewCertPool()
	welcome.AddCert(c.pki.CA.Cert)
	welcome.AddCert(c.pki.FrontProxyCA.Cert)
	names := []string{c.pki.FrontProxyClient.Cert.Subject.CommonName}
	return assembly.Options{
		Log: c.log.With("role", "apiserver"), Etcd: member, EtcdServers: c.o.EtcdServers, Keys: keys,
		Address:   net.JoinHostPort(c.o.BindAddress, strconv.Itoa(c.o.APIPort)),
		TLS:       apiserver.TLS{CertFile: l.Cert(pki.NameAPIServer), KeyFile: l.Key(pki.NameAPIServer), MinVersion: tls.VersionTLS13, ClientCAs: welcome},
		Advertise: netip.AddrPortFrom(ip, uint16(c.o.APIPort)),
		ClientCAs: c.pki.CA.Pool(), ClientCAPEM: c.pki.CA.PEM, Anonymous: true,
		RequestHeaderCAPEM: c.pki.FrontProxyCA.PEM, RequestHeaderNames: names, FrontProxy: &authn.FrontProxy{
			CAs: c.pki.FrontProxyCA.Pool(), AllowedNames: names, UserHeaders: []string{"X-Remote-User"}, UIDHeaders: []string{"X-Remote-Uid"},
			GroupHeaders: []string{"X-Remote-Group"}, ExtraPrefixes: []string{"X-Remote-Extra-"},
		},
		Issuer: "https://kubernetes.default.svc." + c.o.ClusterDomain, SigningKey: c.pki.ServiceAccount,
		Services: services, NodePorts: ports, KubeletClient: &kubelet, KubeletCAs: c.pki.CA.Pool(),
		AuditPath: c.p.Audit, Version: c.o.Version,
	}, nil
}

func parsePorts(s string) (allocate.PortRange, error) {
	var r allocate.PortRange
	if _, err := fmt.Sscanf(s, "%d-%d", &r.First, &r.Last); err != nil {
		return r, fmt.Errorf("--node-ports %q: want FIRST-LAST, e.g. 30000-32767", s)
	}
	return r, nil
}

// client is a role's way to the API server of this process.
func (c *control) client(user *request.User) (kubernetes.Interface, error) {
	kube, err := kubernetes.NewForConfig(c.api.Server.ClientConfig(user))
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", user.Name, err)
	}
	return kube, nil
}
