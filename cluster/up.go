package cluster

import (
	"context"
	"crypto/tls"
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
	"hyperkube/internal/bounds"
	"hyperkube/internal/pki"
	"hyperkube/internal/regular"
	"hyperkube/internal/resident"
	"hyperkube/internal/supervise"
	"hyperkube/kit"
	"hyperkube/store"
	"hyperkube/store/etcd"
	"hyperkube/store/seal"
)

// Up runs the cluster until ctx ends. It is blocking: Daemon puts it into a
// process of its own. progress is told of each stage; ErrRunning means that
// another process runs the cluster of this data directory.
func Up(ctx context.Context, o Options, log *slog.Logger, progress Progress) error {
	if err := errors.Join(needRoot(), o.Settle()); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	p := PathsOf(o.DataDir)
	if o.LockFD == 0 {
		if busy, err := held(p.Lock); busy || err != nil {
			return errors.Join(err, ErrRunning)
		}
	}
	if err := o.Preflight(); err != nil {
		return err
	}
	l, c, err := claim(o, log, progress)
	if err != nil {
		return err
	}
	defer l.Close()
	pid := []byte(strconv.Itoa(os.Getpid()))
	if err := errors.Join(os.MkdirAll(p.Run, 0o700), ignoreGone(os.Remove(p.Ready)), ignoreGone(os.Remove(p.Waiting)), regular.WriteFile(p.PID, pid, 0o600)); err != nil {
		return fmt.Errorf("making %s: %w", p.Run, err)
	}
	defer os.Remove(p.PID)
	defer os.Remove(p.Ready)
	instancesOf(p).raise(log, func(text string) { fmt.Println("  " + text) })
	c.keeper = &keeper{o: o, p: p, lock: l, log: log}
	if err := c.run(ctx); err != nil {
		return err
	}
	return c.keeper.dismiss()
}

// claim takes the data directory: a new one becomes a cluster's, an old one must be this
// cluster's and have what it is known to have had.
func claim(o Options, log *slog.Logger, progress Progress) (_ *os.File, _ *control, err error) {
	p := PathsOf(o.DataDir)
	var l *os.File
	var m *Marker
	if o.LockFD != 0 {
		if l, err = inherited(o.LockFD, p.Lock); err == nil {
			m, err = readMarker(o.DataDir)
		}
	} else {
		l, m, err = enter(o.DataDir)
	}
	defer func() {
		if err != nil && l != nil {
			l.Close()
		}
	}()
	if err != nil {
		return nil, nil, err
	}
	have, err := ReadIdentity(o.DataDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	now := o.identity()
	if have != nil {
		if err := o.agrees(have); err != nil {
			return nil, nil, err
		}
		now.Created, now.Spent = have.Created, have.Spent
		o.heed(have)
	}
	holds := holdingsOf(p, have, len(o.EtcdServers) == 0)
	if err := holds.checkData(p, o.StartEmpty); err != nil {
		return nil, nil, err
	}
	now.KeysMade, now.DataMade = holds.keys, holds.data
	if err := now.write(o.DataDir); err != nil {
		return nil, nil, err
	}
	return l, &control{o: o, p: p, id: m.Cluster, holds: holds, identity: now, log: log, progress: progress}, nil
}

// noteKeys remembers that all key material was made: from now on what is missing is lost.
func (c *control) noteKeys() error {
	c.identity.KeysMade = true
	return c.identity.write(c.o.DataDir)
}

// noteData remembers that the embedded etcd has served.
func (c *control) noteData() error {
	c.identity.DataMade = len(c.o.EtcdServers) == 0
	return c.identity.write(c.o.DataDir)
}

// control is a cluster while it runs.
type control struct {
	o        Options
	p        Paths
	id       string // of the cluster, for life
	holds    holdings
	identity Identity
	log      *slog.Logger
	progress Progress
	roles    *supervise.Group

	pki        *pki.Files
	encryption *seal.Config
	keyMade    bool        // the encryption key is new
	registries *registries // served at MetricsPort
	api        *assembly.Assembly
	shared     *kit.Informers // of the control plane's roles
	stop       context.CancelFunc
	ended      chan error // of vital parts
	keeper     *keeper
}

// run starts the stages in order; parts that do not need each other overlap.
func (c *control) run(ctx context.Context) (err error) {
	ctx, c.stop = context.WithCancel(ctx)
	c.registries, c.ended = newRegistries(), make(chan error, 1)
	c.roles = supervise.New(supervise.Options{Log: c.log, Registry: c.registries.fresh("supervise")})
	defer func() {
		c.stop()
		c.roles.Wait()
	}()
	if err := c.progress.timed("keys and certificates", c.makeKeys); err != nil {
		return err
	}
	node := newNode(c)
	nodeStarted := make(chan error, 1)
	c.roles.Go("node's start", func() {
		nodeStarted <- supervise.Contain("node's start", func() error { return node.startRuntime(ctx) })
	})
	if err := c.startAPI(ctx); err != nil {
		return err
	}
	if err := c.noteData(); err != nil {
		return err
	}
	c.roles.Start(ctx, supervise.Role{Name: "metrics", Build: c.buildMetrics})
	c.roles.Start(ctx, supervise.Role{Name: "certificates", Build: c.buildRenewal})
	c.startControl(ctx)
	if err := c.either(ctx, nodeStarted); err != nil {
		return err
	}
	complete := make(chan error, 1)
	c.roles.Go("start", func() {
		complete <- supervise.Contain("start", func() error { return node.start(ctx) })
	})
	if err := c.either(ctx, complete); err != nil {
		return err
	}
	c.roles.Start(ctx, supervise.Role{Name: "memory keeper", Build: func() (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			resident.Keep(ctx, resident.Options{Forget: c.api.Store.Forget, Log: c.log})
			return nil
		}, nil
	}})
	if c.o.Kept {
		c.roles.Start(ctx, supervise.Role{Name: "keeper's keeper", Build: func() (func(context.Context) error, error) { return c.keeper.watch, nil }})
	}
	if err := regular.WriteFile(c.p.Ready, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("telling that the cluster is ready: %w", err)
	}
	if f, err := tellReady(c.p.Lock); err == nil {
		defer f.Close()
	} else { // the file says it too
		c.log.Warn("telling by the lock that the cluster is ready", "err", err)
	}
	fmt.Fprintln(os.Stdout, readyLine)
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.ended:
		return err
	}
}

// keyOptions say what key material the cluster has.
func (c *control) keyOptions() (pki.Options, error) {
	ip := net.ParseIP(c.o.NodeIP)
	if ip == nil {
		return pki.Options{}, fmt.Errorf("--node-ip %q is not an address", c.o.NodeIP)
	}
	serviceIP, err := ServiceIP(c.o.ServiceCIDR, 1)
	if err != nil {
		return pki.Options{}, err
	}
	ips, names := []net.IP{ip}, []string{c.o.NodeName}
	for _, san := range c.o.ExtraSANs {
		if a := net.ParseIP(san); a != nil {
			ips = append(ips, a)
		} else {
			names = append(names, san)
		}
	}
	return pki.Options{
		Layout: pki.NewLayout(c.o.DataDir), Server: c.serverURL(), Names: names, IPs: ips, ServiceIP: net.ParseIP(serviceIP),
		ClusterDomain: c.o.ClusterDomain, Now: time.Now(),
		Nodes: []pki.Node{{Name: c.o.NodeName, IPs: []net.IP{ip, net.IPv4(127, 0, 0, 1)}}},
		Known: c.holds.keys, NewCA: c.o.NewCA, NewServiceAccount: c.o.NewServiceAccountKey,
	}, nil
}

func (c *control) makeKeys() error {
	o, err := c.keyOptions()
	if err != nil {
		return err
	}
	if c.pki, err = pki.Ensure(o); err != nil {
		return adviseLost(err)
	}
	if c.encryption, c.keyMade, err = c.holds.encryption(c.p, c.o.NewEncryptionKey); err != nil {
		return err
	}
	return c.noteKeys()
}

func (c *control) serverURL() string {
	return "https://" + net.JoinHostPort(c.o.NodeIP, strconv.Itoa(c.o.APIPort))
}

// startAPI starts etcd and the API server and returns when it is ready.
func (c *control) startAPI(ctx context.Context) error {
	var member *etcd.Server
	if len(c.o.EtcdServers) == 0 {
		err := c.progress.timed("etcd", func() (err error) {
			if c.o.Ephemeral {
				if err := mountMemory(c.p.Etcd); err != nil {
					return err
				}
			}
			member, err = etcd.Start(ctx, etcd.Config{
				Dir: c.p.Etcd, Cluster: c.id, Ephemeral: c.o.Ephemeral, Log: c.log.With("role", "etcd"),
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return c.progress.timed("API server", func() error { return c.serveAPI(ctx, member) })
}

// serveAPI runs the API server on a member, which is nil for an etcd elsewhere. The member
// never outlives it.
func (c *control) serveAPI(ctx context.Context, member *etcd.Server) error {
	stop := func() {
		if member != nil {
			member.Stop()
		}
	}
	options, err := c.apiOptions(member)
	if err == nil && c.keyMade {
		etcd := store.Options{Etcd: member, Servers: c.o.EtcdServers, Keys: c.encryption}
		err = confirmKey(ctx, c.p, etcd, c.o.NewEncryptionKey, c.log)
	}
	if err == nil {
		err = supervise.Contain("API server", func() (err error) {
			c.api, err = assembly.New(ctx, options)
			return err
		})
	}
	if err != nil {
		stop()
		return err
	}
	served := make(chan struct{})
	if member != nil {
		c.vital(ctx, "etcd", func() error { return whyEtcdEnded(ctx, member, served) })
	}
	c.vital(ctx, "API server", func() error {
		defer stop()
		defer close(served)
		return c.api.Run(ctx)
	})
	ready := make(chan error)
	go func() {
		select {
		case <-c.api.Ready():
			close(ready)
		case <-ctx.Done():
		}
	}()
	return c.either(ctx, ready)
}

func (c *control) apiOptions(member *etcd.Server) (assembly.Options, error) {
	if err := regular.Check(c.p.Audit); err != nil { // elsewhere it may well be a device or a pipe
		return assembly.Options{}, fmt.Errorf("audit log: %w", err)
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
	l := c.pki.Layout
	kubelet, err := pki.NewFilePair("the certificate shown to kubelets", l.Cert(pki.NameKubeletClient), l.Key(pki.NameKubeletClient), c.log)
	if err != nil {
		return assembly.Options{}, err
	}
	welcome := []*pki.Pool{pki.FixedPool(c.pki.CA, c.pki.FrontProxyCA)}
	names := []string{c.pki.FrontProxyClient.Cert.Subject.CommonName}
	return assembly.Options{
		Log: c.log.With("role", "apiserver"), Etcd: member, EtcdServers: c.o.EtcdServers, Keys: c.encryption,
		Address:   net.JoinHostPort(c.o.BindAddress, strconv.Itoa(c.o.APIPort)),
		TLS:       apiserver.TLS{CertFile: l.Cert(pki.NameAPIServer), KeyFile: l.Key(pki.NameAPIServer), MinVersion: tls.VersionTLS13, ClientCAs: welcome},
		Advertise: netip.AddrPortFrom(ip, uint16(c.o.APIPort)),
		ClientCAs: pki.FixedPool(c.pki.CA), Anonymous: true,
		FrontProxy: &authn.FrontProxy{
			CAs: pki.FixedPool(c.pki.FrontProxyCA), AllowedNames: names, UserHeaders: []string{"X-Remote-User"}, UIDHeaders: []string{"X-Remote-Uid"},
			GroupHeaders: []string{"X-Remote-Group"}, ExtraPrefixes: []string{"X-Remote-Extra-"},
		},
		Issuer: "https://kubernetes.default.svc." + c.o.ClusterDomain, SigningKey: c.pki.ServiceAccount,
		Services: services, NodePorts: ports, KubeletClient: kubelet.Client, KubeletCAs: c.pki.CA.Pool(),
		AuditPath: c.p.Audit, AuditMaxBytes: bounds.AuditBytes, AuditKeep: bounds.AuditsKept, AuditCompress: true, Version: c.o.Version,
	}, nil
}

func parsePorts(s string) (allocate.PortRange, error) {
	var r allocate.PortRange
	if n, err := fmt.Sscanf(s, "%d-%d", &r.First, &r.Last); err != nil || n != 2 || r.First < 1 || r.Last < r.First || r.Last > 65535 {
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
